// A resolved configuration (YAML as our writer writes it) as "section.key" and value, for comparing two of them. Only
// lines and their indentation count, so any text will do.
#pragma once

#include <map>
#include <string>

namespace tercet::dashboard {

std::map<std::string, std::string> settings_in(const std::string& yaml);

}  // namespace tercet::dashboard
