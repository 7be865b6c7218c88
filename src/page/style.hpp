// How pages look: one style sheet, in the page itself.
#pragma once

namespace tercet::page {

extern const char* const kStyle;

}  // namespace tercet::page
