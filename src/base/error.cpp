#include "tercet/base/error.hpp"

#include "tercet/base/utf8.hpp"

namespace tercet {
namespace {

// Names and values of strangers' files stand in messages: enough for fifty mistakes of a configuration, not for a
// terabyte.
constexpr std::size_t kLongestMessage = 64 << 10;

std::string compose(const std::string& problem, const std::string& reason, const std::string& hint) {
  std::string text = problem;
  if (!reason.empty()) text += " (" + reason + ")";
  if (!hint.empty()) text += "; " + hint;
  return printable(text, kLongestMessage);
}

}  // namespace

Error::Error(ExitCode code, const std::string& problem, const std::string& reason, const std::string& hint)
    : std::runtime_error(compose(problem, reason, hint)), code_(code) {}

}  // namespace tercet
