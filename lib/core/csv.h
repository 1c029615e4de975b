#pragma once
// Comma-separated values as RFC 4180 defines them: quoted fields may hold commas, quotes (doubled) and line breaks. The
// reader takes at most kMaxCsvBytes and kMaxCsvFields.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

inline constexpr std::size_t kMaxCsvBytes = std::size_t{256} << 20;
inline constexpr std::size_t kMaxCsvFields = 10'000'000;

struct CsvRow {
  int line = 0;  ///< the line on which the row begins, counted from 1
  std::vector<std::string> fields{};
};

/// The rows of `text`, without its empty lines. Errors: kInvalidInput with the line, for a quote that is never closed,
/// for text after a closing quote, and for a text beyond the limits.
Result<std::vector<CsvRow>> parse_csv(std::string_view text, std::string_view name);

/// A field that holds a text, quoted if it must be. The text is cut and made printable as shown() does; since a
/// spreadsheet would take a text that begins with = + - @, also after spaces, for a formula, a ' stands before it, as OWASP
/// says (CSV Injection). Not for numbers, which are written as they are.
[[nodiscard]] std::string csv_text(std::string_view text);

}  // namespace secondsource
