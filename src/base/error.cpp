#include "tercet/base/error.hpp"

namespace tercet {
namespace {

std::string compose(const std::string& problem, const std::string& reason, const std::string& hint) {
  std::string text = problem;
  if (!reason.empty()) text += " (" + reason + ")";
  if (!hint.empty()) text += "; " + hint;
  return text;
}

}  // namespace

Error::Error(ExitCode code, const std::string& problem, const std::string& reason, const std::string& hint)
    : std::runtime_error(compose(problem, reason, hint)), code_(code) {}

}  // namespace tercet
