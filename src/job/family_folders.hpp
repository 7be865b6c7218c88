// Where a family keeps what: runs, what the driver knows of each night, history, and the published models.
#pragma once

#include <filesystem>
#include <string>

namespace tercet::job {

struct FamilyFolders {
  std::filesystem::path output;
  std::string night;

  std::filesystem::path run(const std::string& element) const { return output / "runs" / night / element; }
  std::filesystem::path night_folder() const { return output / "nights" / night; }
  std::filesystem::path elements() const { return night_folder() / "elements"; }
  std::filesystem::path config(const std::string& element) const { return elements() / (element + ".yaml"); }
  std::filesystem::path state(const std::string& element) const { return elements() / (element + ".json"); }
  std::filesystem::path lock(const std::string& element) const { return elements() / (element + ".lock"); }
  std::filesystem::path log(const std::string& element) const { return elements() / (element + ".log"); }
  std::filesystem::path history(const std::string& element) const { return output / "history" / (element + ".jsonl"); }
  std::filesystem::path models(const std::string& element) const { return output / "models" / element; }
};

}  // namespace tercet::job
