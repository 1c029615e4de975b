#pragma once
// A table of texts, made once from records and rendered for a terminal, for Markdown or for HTML.

#include <string>
#include <string_view>
#include <vector>

namespace secondsource {

struct TextTable {
  std::vector<std::string> columns;
  std::vector<bool> right_aligned;  ///< one a column
  std::vector<std::vector<std::string>> rows;
};

/// Columns padded to their widest text; width counts characters, not bytes.
[[nodiscard]] std::string render_terminal(const TextTable& table);

/// GitHub's table syntax, with | escaped.
[[nodiscard]] std::string render_markdown(const TextTable& table);

/// <table> with its content escaped.
[[nodiscard]] std::string render_html(const TextTable& table);

/// & < > " ' as entities: for text and attributes of HTML and XML. Control characters that XML 1.0 forbids become
/// U+FFFD.
[[nodiscard]] std::string escape_markup(std::string_view text);

}  // namespace secondsource
