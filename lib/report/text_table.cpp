#include "report/text_table.h"

#include <algorithm>
#include <cstdint>

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

std::string escape_markdown_cell(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '|') result += '\\';
    result += c == '\n' ? ' ' : c;
  }
  return result;
}

}  // namespace

std::string render_terminal(const TextTable& table) {
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

std::string render_markdown(const TextTable& table) {
  std::string out = "|";
  for (const std::string& column : table.columns) out += " " + escape_markdown_cell(column) + " |";
  out += "\n|";
  for (const bool right : table.right_aligned) out += right ? " ---: |" : " --- |";
  out += "\n";
  for (const auto& row : table.rows) {
    out += "|";
    for (const std::string& cell : row) out += " " + escape_markdown_cell(cell) + " |";
    out += "\n";
  }
  return out;
}

std::string render_html(const TextTable& table) {
  std::string out = "<table>\n<thead><tr>";
  for (const std::string& column : table.columns) out += "<th>" + escape_markup(column) + "</th>";
  out += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += std::string(table.right_aligned[i] ? "<td class=\"number\">" : "<td>") + escape_markup(row[i]) + "</td>";
    }
    out += "</tr>\n";
  }
  return out + "</tbody>\n</table>\n";
}

std::string escape_markup(std::string_view text) {
  std::string out;
  for (const char c : text) {
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
      default: {
        const bool forbidden = static_cast<std::uint8_t>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
        out += forbidden ? "\xef\xbf\xbd" : std::string(1, c);
      }
    }
  }
  return out;
}

}  // namespace secondsource
