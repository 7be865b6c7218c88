#include "text/split_steps.hpp"

#include <algorithm>

#include "text/normalizer.hpp"

namespace tercet::text {
namespace {

// Text of one kind: a match of the pattern, or what lies between two matches.
struct Span {
  std::size_t begin = 0, end = 0;
  bool matched = false;
};

// Joins spans into pieces by the behaviours of the tokenizers package. It holds the last piece back, since the next
// span may still belong to it.
class PieceJoiner {
 public:
  PieceJoiner(std::string_view text, bool at_start, SplitBehavior behavior, const PieceSink& sink)
      : text_(text), at_start_(at_start), behavior_(behavior), sink_(sink) {}

  void add(Span span) {
    const bool joins = has_piece_ && joins_previous(span.matched);
    const bool removed = behavior_ == SplitBehavior::kRemoved && span.matched;
    if (joins) {
      piece_.end = span.end;
    } else {
      emit();
      piece_ = span;
      has_piece_ = !removed;
    }
    last_matched_ = span.matched;
  }

  void emit() {
    if (has_piece_ && piece_.begin < piece_.end) {
      sink_(text_.substr(piece_.begin, piece_.end - piece_.begin), at_start_ && piece_.begin == 0);
    }
    has_piece_ = false;
  }

 private:
  bool joins_previous(bool matched) const {
    switch (behavior_) {
      case SplitBehavior::kContiguous:
        return matched == last_matched_;
      case SplitBehavior::kMergedWithPrevious:
        return matched && !last_matched_;
      case SplitBehavior::kMergedWithNext:
        return !matched && last_matched_;
      default:
        return false;
    }
  }

  std::string_view text_;
  bool at_start_;
  SplitBehavior behavior_;
  const PieceSink& sink_;
  Span piece_;
  bool has_piece_ = false, last_matched_ = false;
};

}  // namespace

void SplitStep::split(std::string_view text, bool at_start, const PieceSink& sink) const {
  PieceJoiner joiner(text, at_start, behavior_, sink);
  std::size_t done = 0;
  regex_.for_each_match(text, [&](Match match) {
    if (done != match.begin) joiner.add({done, match.begin, invert_});
    joiner.add({match.begin, match.end, !invert_});
    done = match.end;
  });
  if (done != text.size()) joiner.add({done, text.size(), invert_});
  joiner.emit();
}

void PrefixSpaceStep::split(std::string_view text, bool at_start, const PieceSink& sink) const {
  if (text.starts_with(' ')) return sink(text, at_start);
  std::string spaced(1, ' ');
  spaced += text;
  sink(spaced, at_start);
}

void MetaspaceStep::split(std::string_view text, bool at_start, const PieceSink& sink) const {
  std::string marked = replace_all(text, " ", marker_);
  const bool wanted = scheme_ == PrependScheme::kAlways || (scheme_ == PrependScheme::kFirst && at_start);
  if (wanted && !marked.starts_with(marker_)) marked.insert(0, marker_);
  if (!cut_) return sink(marked, at_start);
  // A marker goes with the text after it; a run of markers is cut between each two.
  for (std::size_t begin = 0; begin < marked.size();) {
    const std::size_t end = std::min(marked.find(marker_, begin + 1), marked.size());
    sink(std::string_view(marked).substr(begin, end - begin), at_start && begin == 0);
    begin = end;
  }
}

}  // namespace tercet::text
