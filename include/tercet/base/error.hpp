// The error family of Tercet. A message reads "problem (reason); hint" and names the file, key, tensor, layer or rank.
// Libraries throw; only app and the watchdog end a process.
#pragma once

#include <stdexcept>
#include <string>

namespace tercet {

// Exit codes of the program (docs/operations.md). 0 and 3 are results; the others are faults or a request to stop.
enum class ExitCode : int {
  kPassed = 0,
  kGateFailed = 3,
  kUsage = 64,
  kBadInput = 65,
  kInternal = 70,
  kIo = 74,
  kStopped = 75,
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& problem, const std::string& reason, const std::string& hint);
  ExitCode exit_code() const { return code_; }

 private:
  ExitCode code_;
};

// One class per kind, so that callers can catch what they can handle and the program exits with the right code.
#define TERCET_ERROR_KIND(Name, Code)                                                                       \
  class Name : public Error {                                                                               \
   public:                                                                                                  \
    explicit Name(const std::string& problem, const std::string& reason = "", const std::string& hint = "") \
        : Error(ExitCode::Code, problem, reason, hint) {}                                                   \
  }
TERCET_ERROR_KIND(ConfigError, kUsage);      // a mistake in the configuration or on the command line
TERCET_ERROR_KIND(DataError, kBadInput);     // model, tokenizer or text that cannot be used
TERCET_ERROR_KIND(StoreError, kIo);          // files and folders that cannot be read or written
TERCET_ERROR_KIND(CommError, kInternal);     // communication between ranks
TERCET_ERROR_KIND(NumericError, kInternal);  // NaN, Inf, or a computation without a result
TERCET_ERROR_KIND(StopRequested, kStopped);  // the job was asked to stop and can be resumed
#undef TERCET_ERROR_KIND

}  // namespace tercet
