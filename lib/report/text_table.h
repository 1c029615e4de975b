#pragma once
// A table of texts that is built once from records and rendered for a terminal, as Markdown or as HTML.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace secondsource {

struct TextTable {
  std::vector<std::string> columns;
  std::vector<bool> right_aligned;  ///< one entry per column
  std::vector<std::vector<std::string>> rows;
  /// The column whose texts are verdicts ("passed", "WRONG TOKENS"), which HTML pages highlight.
  std::optional<std::size_t> verdict_column{};
  std::size_t longest_cell = 200;  ///< characters; more of a cell are cut
};

/// The severity of a verdict's text: 0 for "passed"; 1 for open or waived; 2 for wrong, INVALID, failed or REGRESSED.
[[nodiscard]] int severity_of(std::string_view verdict);

// Texts may come from untrusted bundles, prompts and endpoints. All three renderers therefore pass them through
// printable() and cut each cell to the table's `longest_cell`.

/// Pads each column to its widest text; width is counted in characters, not bytes.
[[nodiscard]] std::string render_terminal(const TextTable& table);

/// Uses GitHub's table syntax and escapes the content.
[[nodiscard]] std::string render_markdown(const TextTable& table);

struct HtmlTableOptions {
  std::string caption{};
  std::string caption_id{};  ///< id for aria-labelledby
};

/// Writes a <table> with caption and scopes and escapes the content; the first column has the row headers.
[[nodiscard]] std::string render_html(const TextTable& table, const HtmlTableOptions& options);

/// Lines of a report for a terminal, each with its line break: what printable() escapes is escaped, and a line is cut to
/// 2000 characters.
[[nodiscard]] std::string terminal_lines(std::span<const std::string> lines);

/// Replaces & < > " ' by entities, for text and attributes of HTML and XML. Also escapes everything that printable()
/// escapes except tabs and newlines.
[[nodiscard]] std::string escape_markup(std::string_view text);

/// Escapes a text so that Markdown shows it literally: without formatting, HTML, mentions or links that GitHub makes of
/// addresses. Line breaks become spaces.
[[nodiscard]] std::string escape_markdown(std::string_view text);

}  // namespace secondsource
