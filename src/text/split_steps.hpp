// The kinds of steps a pre-tokenizer is made of.
#pragma once

#include <string>

#include "text/pre_tokenizer.hpp"
#include "text/regex.hpp"

namespace tercet::text {

enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Cuts at the matches of a pattern; `invert` makes the text between them count as the matches.
class SplitStep : public PreTokenizerStep {
 public:
  SplitStep(Regex regex, SplitBehavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}
  void split(std::string_view text, bool at_start, const PieceSink& sink) const override;

 private:
  Regex regex_;
  SplitBehavior behavior_;
  bool invert_;
};

// Puts a space before a text that does not begin with one.
class PrefixSpaceStep : public PreTokenizerStep {
 public:
  void split(std::string_view text, bool at_start, const PieceSink& sink) const override;
};

// Writes spaces as a marker and cuts before each marker.
class MetaspaceStep : public PreTokenizerStep {
 public:
  MetaspaceStep(std::string marker, PrependScheme scheme, bool cut)
      : marker_(std::move(marker)), scheme_(scheme), cut_(cut) {}
  void split(std::string_view text, bool at_start, const PieceSink& sink) const override;

 private:
  std::string marker_;
  PrependScheme scheme_;
  bool cut_;
};

}  // namespace tercet::text
