// Tables of families and studies.
#pragma once

#include <string>
#include <vector>

namespace tercet::job {

// The first row is the heading. Cells are Markdown of ours; a bar in one would end it and is escaped.
std::string markdown_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace tercet::job
