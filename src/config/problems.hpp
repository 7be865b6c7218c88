// The mistakes found in a configuration, collected so that a person sees all of them at once.
#pragma once

#include <string>
#include <vector>

namespace tercet::config {

struct Place {
  std::string source;        // file as the user named it, or "--set a.b"
  int line = 0, column = 0;  // from 1; 0: none
};

std::string to_string(const Place& place);  // "file:3:5", "--set a.b"

class Problems {
 public:
  void add(const Place& place, const std::string& key, const std::string& problem);
  // Whether something is wrong at this key or below it: then checks that use its value would only repeat that.
  bool concerns(const std::string& key) const;
  bool empty() const { return problems_.empty(); }
  // Takes over those that are not known yet; `where` says in words which part of the file they concern.
  void add_new(const Problems& others, const std::string& where);
  void throw_if_any();  // one ConfigError with a line for each mistake, in the order of the file

 private:
  struct Problem {
    Place place;
    std::string key, text;
    std::string where = {};
  };
  std::vector<Problem> problems_;
};

}  // namespace tercet::config
