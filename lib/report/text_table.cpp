#include "report/text_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>

#include "core/utf8.h"

namespace secondsource {
namespace {

std::size_t width_of(std::string_view utf8) {
  return static_cast<std::size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<std::uint8_t>(c) & 0xc0U) != 0x80U; }));
}

void append_row(std::string& out, const std::vector<std::string>& cells, const TextTable& table,
                const std::vector<std::size_t>& widths) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths[i] - width_of(cells[i]), ' ');
    if (i > 0) line += "  ";
    line += table.right_aligned[i] ? padding + cells[i] : cells[i] + padding;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out += line + "\n";
}

constexpr std::size_t kLongCell = 40;   ///< shorter cells are not wrapped on a screen
constexpr std::size_t kShortCell = 12;  ///< these are not wrapped on paper either

bool is_word_www(std::string_view three) {
  return std::all_of(three.begin(), three.end(), [](char c) { return c == 'w' || c == 'W'; });
}

std::string html_cell(const TextTable& table, std::size_t column, const std::string& text) {
  const bool heads_row = column == 0;
  std::string css_class = table.right_aligned[column] ? "number" : "";
  if (table.verdict_column == column)
    css_class = std::array{"good", "unsure", "bad"}[static_cast<std::size_t>(severity_of(text))];
  if (css_class.empty() && text.size() > kShortCell) css_class = text.size() > kLongCell ? "wrap" : "text";
  std::string content = escape_markup(shown(text, table.longest_cell));
  // A figure and its interval, "5 (4 to 6)" or "5 ±3%", may be on two lines, but neither is broken; so may "78 % compute".
  std::size_t second = content.ends_with(")") ? content.find(" (") : content.find(" ±");
  if (second == std::string::npos && content.size() >= kShortCell) second = content.rfind(' ');
  if (table.right_aligned[column] && second != std::string::npos) {
    css_class += " split";
    content = fmt::format("<span>{}</span> <span>{}</span>", content.substr(0, second), content.substr(second + 1));
  }
  return fmt::format("<{0}{1}>{2}</{3}>", heads_row ? "th scope=\"row\"" : "td",
                     css_class.empty() ? "" : " class=\"" + css_class + "\"", content, heads_row ? "th" : "td");
}

}  // namespace

int severity_of(std::string_view verdict) {
  if (verdict.find("waived") != std::string_view::npos) return 1;
  for (const std::string_view bad : {"WRONG TOKENS", "REGRESSED", "INVALID", "failed"}) {
    if (verdict.find(bad) != std::string_view::npos) return 2;
  }
  const bool is_good = verdict == "passed" || verdict == "pass" || verdict == "pass, improved";
  return is_good ? 0 : 1;
}

std::string render_terminal(const TextTable& given) {
  TextTable table = given;
  for (std::string& column : table.columns) column = shown(column);
  for (auto& row : table.rows) {
    for (std::string& cell : row) cell = shown(cell, table.longest_cell);
  }
  std::vector<std::size_t> widths;
  for (const std::string& column : table.columns) widths.push_back(width_of(column));
  for (const auto& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string out;
  append_row(out, table.columns, table, widths);
  std::vector<std::string> rules;
  for (const std::size_t width : widths) rules.emplace_back(width, '-');
  append_row(out, rules, table, widths);
  for (const auto& row : table.rows) append_row(out, row, table, widths);
  return out;
}

std::string terminal_lines(std::span<const std::string> lines) {
  constexpr std::size_t kLineCharacters = 2000;
  std::string out;
  for (const std::string& line : lines) out += shown(line, kLineCharacters) + "\n";
  return out;
}

std::string render_markdown(const TextTable& table) {
  std::string out = "|";
  for (const std::string& column : table.columns) out += " " + escape_markdown(shown(column)) + " |";
  out += "\n|";
  for (const bool right : table.right_aligned) out += right ? " ---: |" : " --- |";
  out += "\n";
  for (const auto& row : table.rows) {
    out += "|";
    for (const std::string& cell : row) out += " " + escape_markdown(shown(cell, table.longest_cell)) + " |";
    out += "\n";
  }
  return out;
}

std::string render_html(const TextTable& table, const HtmlTableOptions& options) {
  std::string out = "<table>\n";
  if (!options.caption.empty()) {
    out += fmt::format("<caption id=\"{}\"><span>{}</span></caption>\n", options.caption_id,
                       escape_markup(shown(options.caption, table.longest_cell)));
  }
  out += "<thead><tr>";
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    out += fmt::format("<th scope=\"col\"{}>{}</th>", table.right_aligned[i] ? " class=\"number\"" : "",
                       escape_markup(shown(table.columns[i])));
  }
  out += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) out += html_cell(table, i, row[i]);
    out += "</tr>\n";
  }
  return out + "</tbody>\n</table>\n";
}

std::string escape_markup(std::string_view text) {
  std::string out;
  const auto append_escaped = [&](std::string_view part) {
    for (const char c : printable(part)) {
      switch (c) {
        case '&':
          out += "&amp;";
          break;
        case '<':
          out += "&lt;";
          break;
        case '>':
          out += "&gt;";
          break;
        case '"':
          out += "&quot;";
          break;
        case '\'':
          out += "&#39;";
          break;
        default:
          out += c;
      }
    }
  };
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find_first_of("\t\n", begin), text.size());
    append_escaped(text.substr(begin, end - begin));
    if (end < text.size()) out += text[end];
    begin = end + 1;
  }
  return out;
}

std::string escape_markdown(std::string_view text) {
  constexpr std::string_view kSigns = "\\`*_[]|~#";
  constexpr std::string_view kBreak =
      "<!-- -->";  // invisible; it interrupts what GitHub would take for a name or an address
  std::string spaced(text);
  std::replace_if(
      spaced.begin(), spaced.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  const std::string safe = printable(spaced);
  std::string out;
  char before = ' ';
  for (std::size_t i = 0; i < safe.size(); ++i) {
    const char c = safe[i];
    const bool in_word = std::isalnum(static_cast<unsigned char>(before)) != 0;
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (kSigns.find(c) != std::string_view::npos && !(c == '_' && in_word)) {
      out += '\\';
      out += c;
    } else {
      out += c;
    }
    // An address has "://", "www." or "@", which also mentions users.
    const bool is_scheme = std::string_view(safe).substr(i, 3) == "://";
    const bool is_www = c == '.' && i >= 3 && is_word_www(std::string_view(safe).substr(i - 3, 3));
    if (c == '@' || is_scheme || is_www) out += kBreak;
    before = c;
  }
  return out;
}

}  // namespace secondsource
