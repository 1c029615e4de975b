#pragma once
// A table of texts, made once from records and rendered for a terminal, for Markdown or for HTML.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace secondsource {

struct TextTable {
  std::vector<std::string> columns;
  std::vector<bool> right_aligned;  ///< one a column
  std::vector<std::vector<std::string>> rows;
  /// The column whose words are verdicts ("passed", "WRONG TOKENS"): pages set them apart.
  std::optional<std::size_t> verdict_column{};
};

/// How bad a verdict's words are: 0 for "passed", 1 for what is open or waived, 2 for wrong, INVALID, failed,
/// REGRESSED.
[[nodiscard]] int severity_of(std::string_view verdict);

// All three renderers show texts as printable() has them, a cell cut to 200 characters: names come from bundles,
// prompts and endpoints.

/// Columns padded to their widest text; width counts characters, not bytes.
[[nodiscard]] std::string render_terminal(const TextTable& table);

/// GitHub's table syntax, with its content escaped.
[[nodiscard]] std::string render_markdown(const TextTable& table);

struct HtmlTableOptions {
  std::string caption{};
  std::string caption_id{};  ///< for aria-labelledby
};

/// <table> with caption and scopes, its content escaped; the first column heads its row.
[[nodiscard]] std::string render_html(const TextTable& table, const HtmlTableOptions& options);

/// & < > " ' as entities: for text and attributes of HTML and XML. What printable() escapes is escaped here too, but
/// for tabs and line breaks.
[[nodiscard]] std::string escape_markup(std::string_view text);

/// So that a text shows as itself in Markdown: no formatting, no HTML, no mention of anybody. Line breaks become
/// spaces.
[[nodiscard]] std::string escape_markdown(std::string_view text);

}  // namespace secondsource
