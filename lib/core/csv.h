#pragma once
// Comma-separated values as RFC 4180 defines them: quoted fields may hold commas, quotes (doubled) and line breaks.

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

struct CsvRow {
  int line = 0;  ///< the line on which the row begins, counted from 1
  std::vector<std::string> fields{};
};

/// The rows of `text`, without its empty lines. Errors: kInvalidInput with the line, for a quote that is never closed
/// or for text after a closing quote.
Result<std::vector<CsvRow>> parse_csv(std::string_view text, std::string_view name);

}  // namespace secondsource
