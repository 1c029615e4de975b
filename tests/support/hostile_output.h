#pragma once
// Checks for each output format that hostile texts (hostile_texts.h) in its records have no effect.

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/csv.h"
#include "core/json.h"
#include "core/utf8.h"
#include "support/hostile_texts.h"
#include "support/result.h"
#include "support/text_parts.h"

namespace secondsource::test {

/// Checks output to a terminal: it has no control sequences, and no text forges a line of the program.
inline void check_terminal(const std::string& text) {
  CHECK(acting_sequence(text) == std::nullopt);
  CHECK(text.find("\nsecondsource: all") == std::string::npos);
}

/// Checks an HTML page or an SVG: no text becomes an element.
inline void check_page(const std::string& page) {
  CHECK(acting_sequence(page) == std::nullopt);
  CHECK(page.find("<script") == std::string::npos);
  CHECK(page.find("<img") == std::string::npos);
}

/// Checks Markdown: no text becomes markup, a link, a mention or a separate line.
inline void check_markdown(const std::string& markdown) {
  CHECK(acting_sequence(markdown) == std::nullopt);
  for (const char* part : {"<script", "<img", "[link]", "**bold", "://", "www.e", "@e", "@t", "\nsecondsource: all"}) {
    CAPTURE(part);
    CHECK(markdown.find(part) == std::string::npos);
  }
}

/// Markdown without its indented lines, which are code blocks, in which markup has no effect.
inline std::string without_code(std::string_view markdown) {
  std::string text;
  for (const std::string_view line : lines_of(markdown)) {
    if (!line.starts_with("    ")) text += std::string(line) + "\n";
  }
  return text;
}

/// Checks JSON: it has no control sequences, and a reader gets the text itself, unless that is not UTF-8. With an empty
/// `text`, only the former is checked.
inline void check_json_output(const std::string& json, const std::string& text) {
  CHECK(acting_sequence(json) == std::nullopt);
  const auto tree = parse_json(json, "output");
  REQUIRE_OK(tree);
  if (!find_invalid_utf8(text) && !text.empty()) {
    bool found = false;
    const nlohmann::json flat = tree->flatten();
    for (const auto& [path, value] : flat.items()) {
      found = found || (value.is_string() && value.get_ref<const std::string&>() == text);
    }
    CHECK(found);
  }
}

/// Checks CSV: it has `n_rows` rows including the header, with equally many fields and no control sequences. A spreadsheet takes no
/// field for a formula, except perhaps the figure `negative`.
inline void check_csv(std::string csv, std::size_t n_rows, std::string_view negative = {}) {
  const auto rows = parse_csv(csv, "output");
  REQUIRE_OK(rows);
  REQUIRE(rows->size() == n_rows);
  for (const CsvRow& row : *rows) {
    CHECK(row.fields.size() == rows->front().fields.size());
    for (const std::string& field : row.fields) {
      if (field.empty() || field == negative) continue;
      CHECK(std::string_view("=+-@\t\r").find(field.front()) == std::string_view::npos);
    }
  }
  std::erase(csv, '\r');
  CHECK(acting_sequence(csv) == std::nullopt);
}

/// True if a line is a sample with labels as OpenMetrics 1.0 defines it: name{name="value",...} number [time]. In a label's value, \, "
/// and line breaks must be escaped as \\, \" and \n.
inline bool is_sample(std::string_view line) {
  const auto take_name = [&] {
    std::size_t n = 0;
    while (n < line.size() && (std::isalnum(static_cast<unsigned char>(line[n])) != 0 || line[n] == '_')) ++n;
    line.remove_prefix(n);
    return n > 0;
  };
  const auto take = [&](std::string_view what) {
    const bool is_there = line.starts_with(what);
    if (is_there) line.remove_prefix(what.size());
    return is_there;
  };
  if (!take_name() || !take("{")) return false;
  do {
    if (!take_name() || !take("=\"")) return false;
    while (!line.empty() && line.front() != '"') {
      if (line.front() == '\\' && !line.starts_with("\\\\") && !line.starts_with("\\\"") && !line.starts_with("\\n"))
        return false;
      line.remove_prefix(line.front() == '\\' ? 2 : 1);
    }
    if (!take("\"")) return false;
  } while (take(","));
  return take("} ") && line.find_first_not_of("0123456789.e+- ") == std::string_view::npos;
}

/// Checks OpenMetrics text: every line is a sample or describes a metric, and there are no control sequences.
inline void check_openmetrics(const std::string& text) {
  CHECK(acting_sequence(text) == std::nullopt);
  CHECK(text.ends_with("\n# EOF\n"));
  for (const std::string_view line : lines_of(text)) {
    CAPTURE(line);
    CHECK((line == "# EOF" || line.starts_with("# TYPE secondsource_") || line.starts_with("# UNIT secondsource_") ||
           line.starts_with("# HELP secondsource_") || (line.starts_with("secondsource_") && is_sample(line))));
  }
}

}  // namespace secondsource::test
