#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>

#include "tercet/comm/stop_control.hpp"

namespace tercet {
namespace {

std::optional<double> number_in(const char* text) {
  double value = 0;
  const auto end = text + std::strlen(text);
  const auto parsed = std::from_chars(text, end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

// What squeue prints for the end of a job: "2026-11-26T03:10:00" in local time, or a word where there is no limit.
std::optional<double> end_time_of(const std::string& text) {
  std::tm parts{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return std::nullopt;
  parts.tm_isdst = -1;
  return static_cast<double>(std::mktime(&parts));
}

bool is_number(const char* text) {
  return text != nullptr && *text != '\0' && std::strspn(text, "0123456789") == std::strlen(text);
}

// One element of an array goes by the array's number and its own; its job number alone may mean the whole array.
std::string job_name() {
  const char *array = std::getenv("SLURM_ARRAY_JOB_ID"), *element = std::getenv("SLURM_ARRAY_TASK_ID");
  if (is_number(array) && is_number(element)) return std::string(array) + "_" + element;
  const char* job = std::getenv("SLURM_JOB_ID");
  return is_number(job) ? job : "";
}

std::string ask_squeue(const std::string& job) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(
      ::popen(("squeue -h -o %e -j " + job + " 2>/dev/null").c_str(), "r"), ::pclose);
  if (!pipe) return "";
  std::array<char, 64> line{};
  return std::fgets(line.data(), line.size(), pipe.get()) == nullptr ? "" : line.data();
}

}  // namespace

std::optional<double> allocation_end_time() {
  if (const char* known = std::getenv("SLURM_JOB_END_TIME")) return number_in(known);
  const std::string job = job_name();
  return job.empty() ? std::nullopt : end_time_of(ask_squeue(job));
}

}  // namespace tercet
