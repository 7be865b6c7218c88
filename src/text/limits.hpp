// Bounds on what the files of a tokenizer may ask for: each far above what published tokenizers have, and low enough
// that time and memory stay in proportion to the text.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tercet::text {

inline constexpr std::size_t kMostSteps = 64;      // of a normalizer, pre-tokenizer or decoder; three are usual
inline constexpr int kDeepestNesting = 8;          // of sequences in sequences of them
inline constexpr std::size_t kMostGrowth = 16;     // of a text in normalization; NFKC makes 33 bytes of U+FDFA's 3
inline constexpr std::size_t kAlwaysGrows = 4096;  // bytes that even the shortest text may grow by
inline constexpr std::size_t kLongestAddedToken = 1024;  // bytes; at each place of a text the longest one is looked for
inline constexpr std::size_t kLongestPattern = 16 << 10;
inline constexpr std::int64_t kLargestId = (std::int64_t{1} << 24) - 1;  // a larger one would only ask for memory
inline constexpr std::size_t kMostMerges = 1 << 22;  // lines of merges.txt; a quarter of a million is usual
inline constexpr std::size_t kLongestWord = std::size_t{1}
                                            << 30;  // bytes merged at once: symbols are counted in 32 bits

}  // namespace tercet::text
