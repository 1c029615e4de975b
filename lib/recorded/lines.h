#pragma once
// The lines of a text.

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// Calls `take(line, number)`, which returns Result<void>, for each line without its end; the first is 1.
template <typename Take>
Result<void> for_each_line(std::string_view text, const Take& take) {
  for (std::int64_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    text.remove_prefix(std::min(end + 1, text.size()));
    SS_TRY_VOID(take(line, number));
  }
  return {};
}

}  // namespace secondsource
