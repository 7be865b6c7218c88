// Size against loss when one candidate is chosen for each layer and both add up: the multiple-choice knapsack (Sinha
// and Zoltners 1979), solved for every budget at once.
//
// Layer after layer, each state (bytes, loss) of those before is joined with each candidate, and states that another
// one beats in one figure without being worse in the other are dropped. What is left is the exact frontier. Many layers
// of many sizes can make it long; a list of more than `most_states` is then thinned to the best of each of so many
// equal intervals of bytes, and the results are still choices that exist, with their true bytes and losses, but perhaps
// not the best ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace tercet {

struct Candidate {
  std::uint64_t bytes = 0;
  double loss = 0;  // may be negative
};

struct Choice {
  std::vector<std::size_t> candidates;  // one of each layer
  std::uint64_t bytes = 0;
  double loss = 0;  // added in the order of the layers
};

class Frontier {
 public:
  static constexpr std::size_t kMostStates = std::size_t{1} << 16;

  // Each layer has at least one candidate. Throws NumericError for a loss that is not finite. Between choices of equal
  // bytes and loss, earlier candidates of later layers win: the same on every machine.
  explicit Frontier(const std::vector<std::vector<Candidate>>& layers, std::size_t most_states = kMostStates);

  std::optional<Choice> least_loss(std::uint64_t bytes) const;  // within the bytes; nullopt: nothing is so small
  std::optional<Choice> fewest_bytes(double loss) const;        // within the loss; nullopt: nothing is so good
  Choice smallest() const { return choice(0); }
  Choice finest() const { return choice(last_.size() - 1); }
  std::size_t size() const { return last_.size(); }
  bool exact() const { return exact_; }

 private:
  struct State {
    std::uint64_t bytes = 0;
    double loss = 0;
  };
  struct Link {  // where a state comes from
    std::uint32_t before = 0, candidate = 0;
  };
  struct List {
    std::vector<State> states;  // bytes rise and losses fall
    std::vector<Link> links;
  };
  static List join(const std::vector<State>& before, const std::vector<Candidate>& candidates);
  static List thinned(const List& list, std::size_t most_states);
  Choice choice(std::size_t state) const;

  std::vector<State> last_;
  std::vector<std::vector<Link>> links_;  // of each layer's list
  bool exact_ = true;
};

}  // namespace tercet
