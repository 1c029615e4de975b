#pragma once
// Comma-separated values as RFC 4180 has them: quoted fields may hold commas, quotes (doubled) and line breaks.

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

struct CsvRow {
  int line = 0;  ///< where it begins, from 1
  std::vector<std::string> fields{};
};

/// The rows of `text`; empty lines are left out. Errors: kInvalidInput with the line, for a quote that does not end, or
/// text after one that does.
Result<std::vector<CsvRow>> parse_csv(std::string_view text, std::string_view name);

}  // namespace secondsource
