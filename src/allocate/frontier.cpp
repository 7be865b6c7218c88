#include "tercet/allocate/frontier.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <tuple>

#include "tercet/base/error.hpp"

namespace tercet {

Frontier::Frontier(const std::vector<std::vector<Candidate>>& layers, std::size_t most_states) : last_(1) {
  for (const std::vector<Candidate>& candidates : layers) {
    List list = join(last_, candidates);
    if (list.states.size() > most_states) {
      list = thinned(list, most_states);
      exact_ = false;
    }
    last_ = std::move(list.states);
    links_.push_back(std::move(list.links));
  }
}

// The states of `before` are sorted, so those with one candidate are too: a merge of as many lists as candidates.
Frontier::List Frontier::join(const std::vector<State>& before, const std::vector<Candidate>& candidates) {
  using Next = std::tuple<std::uint64_t, double, std::uint32_t, std::uint32_t>;  // bytes, loss, candidate, before
  std::priority_queue<Next, std::vector<Next>, std::greater<>> queue;
  const auto push = [&](std::uint32_t candidate, std::uint32_t state) {
    const Candidate& taken = candidates[candidate];
    queue.emplace(before[state].bytes + taken.bytes, before[state].loss + taken.loss, candidate, state);
  };
  for (std::uint32_t i = 0; i < candidates.size(); ++i) {
    if (!std::isfinite(candidates[i].loss)) throw NumericError("the loss of a layer's candidate is not finite");
    push(i, 0);
  }
  List list;
  double least = std::numeric_limits<double>::infinity();
  while (!queue.empty()) {
    const auto [bytes, loss, candidate, state] = queue.top();
    queue.pop();
    if (loss < least) {
      list.states.push_back({bytes, loss});
      list.links.push_back({state, candidate});
      least = loss;
    }
    if (state + 1 < before.size()) push(candidate, state + 1);
  }
  return list;
}

// The smallest state stays, so that a budget that can be met is met; of each interval the last, which has the least
// loss.
Frontier::List Frontier::thinned(const List& list, std::size_t most_states) {
  const std::uint64_t first = list.states.front().bytes, range = list.states.back().bytes - first;
  const std::uint64_t width = range / std::max<std::size_t>(1, most_states - 1) + 1;
  List kept{{list.states.front()}, {list.links.front()}};
  for (std::size_t i = 1; i < list.states.size(); ++i) {
    const bool last_of_interval = i + 1 == list.states.size() ||
                                  (list.states[i].bytes - first) / width != (list.states[i + 1].bytes - first) / width;
    if (!last_of_interval) continue;
    kept.states.push_back(list.states[i]);
    kept.links.push_back(list.links[i]);
  }
  return kept;
}

std::optional<Choice> Frontier::least_loss(std::uint64_t bytes) const {
  const auto beyond = std::upper_bound(last_.begin(), last_.end(), bytes,
                                       [](std::uint64_t limit, const State& state) { return limit < state.bytes; });
  if (beyond == last_.begin()) return std::nullopt;
  return choice(static_cast<std::size_t>(beyond - last_.begin()) - 1);
}

std::optional<Choice> Frontier::fewest_bytes(double loss) const {
  const auto good = std::find_if(last_.begin(), last_.end(), [&](const State& state) { return state.loss <= loss; });
  if (good == last_.end()) return std::nullopt;
  return choice(static_cast<std::size_t>(good - last_.begin()));
}

Choice Frontier::choice(std::size_t state) const {
  Choice result{std::vector<std::size_t>(links_.size()), last_[state].bytes, last_[state].loss};
  for (std::size_t layer = links_.size(); layer-- > 0;) {
    const Link& link = links_[layer][state];
    result.candidates[layer] = link.candidate;
    state = link.before;
  }
  return result;
}

}  // namespace tercet
