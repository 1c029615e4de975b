#include "core/yaml_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/utf8.h"

namespace secondsource::detail {
namespace {

constexpr std::string_view kBlank = " \t";
constexpr std::string_view kBlankOrBreak = " \t\r\n";
constexpr std::string_view kEscapes = "0abt\tnvfre \"/\\N_LPxuU\r\n";  // section 5.7

}  // namespace

std::size_t YamlSource::behind_anchor(std::size_t offset) const {
  while (at(offset) == '&') {
    offset = std::min(text_.find_first_of(" \t\r\n,[]{}", offset), text_.size());
    offset = std::min(text_.find_first_not_of(kBlankOrBreak, offset), text_.size());
  }
  return offset;
}

std::optional<std::size_t> YamlSource::end_of_quoted(std::size_t offset) const {
  const char quote = text_[offset];
  for (std::size_t i = offset + 1; i < text_.size(); ++i) {
    if (quote == '"' && text_[i] == '\\') {
      ++i;
    } else if (text_[i] == quote) {
      if (quote == '"' || at(i + 1) != '\'') return i + 1;
      ++i;  // '' is one quote
    }
  }
  return std::nullopt;
}

std::optional<std::string> YamlSource::check_indentation(YamlPosition position, int indent) {
  if (position.line == checked_line_) return std::nullopt;
  checked_line_ = position.line;
  const std::size_t line_begin = position.offset - static_cast<std::size_t>(position.column);
  const std::size_t first = text_.find_first_not_of(kBlank, line_begin);
  if (first != position.offset) return std::nullopt;
  if (text_.substr(line_begin, first - line_begin).find('\t') != std::string_view::npos) {
    return "expected spaces as indentation, found a tab";
  }
  const bool is_list = at(first) == '-' && kBlankOrBreak.find(at(first + 1)) != std::string_view::npos;
  if (position.column > indent || (is_list && position.column == indent)) return std::nullopt;
  return fmt::format("expected this line to be indented by more than {} spaces", indent);
}

std::optional<std::string> YamlSource::check_key(YamlPosition position, std::string_view value) const {
  const std::size_t begin = behind_anchor(position.offset);
  std::size_t end = begin + value.size();
  if (at(begin) == '"' || at(begin) == '\'') {
    end = end_of_quoted(begin).value_or(text_.size());
  } else if (text_.substr(begin, value.size()) != value) {
    return "expected a key on one line";
  }
  end = std::min(text_.find_first_not_of(kBlank, end), text_.size());
  if (at(end) == ':') return std::nullopt;
  return fmt::format("expected a colon after the key {}", in_quotes(value));
}

std::optional<std::string> YamlSource::check_quoted(YamlPosition position, int indent) const {
  const std::size_t begin = behind_anchor(position.offset);
  const char quote = at(begin);
  if (quote == '|' || quote == '>') {
    const std::size_t end = text_.find_first_not_of("|>+-0123456789", begin);
    if (at(end) == '#') return "expected a space before a comment";
    return std::nullopt;
  }
  if (quote != '"' && quote != '\'') return std::nullopt;
  const auto end = end_of_quoted(begin);
  if (!end) return "expected a quote that ends the text";
  const std::string_view quoted = text_.substr(begin, *end - begin);
  for (std::size_t i = 0; i + 1 < quoted.size(); ++i) {
    if (quoted[i] == '\\' && quote == '"') {
      if (kEscapes.find(quoted[++i]) == std::string_view::npos) {
        return fmt::format("expected an escape of YAML, found {}", in_quotes(quoted.substr(i - 1, 2)));
      }
    }
    if (quoted[i] != '\n') continue;
    const std::size_t n_spaces = std::min(quoted.find_first_not_of(' ', i + 1), quoted.size()) - i - 1;
    const std::size_t first = quoted.find_first_not_of(kBlank, i + 1);
    const bool is_blank_line = first == std::string_view::npos || quoted[first] == '\n' || quoted[first] == '\r';
    if (!is_blank_line && static_cast<int>(std::min<std::size_t>(n_spaces, 1 << 20)) <= indent) {
      return fmt::format("expected the lines of a quoted text to be indented by more than {} spaces", indent);
    }
  }
  if (at(*end) == '#') return "expected a space before a comment";
  return std::nullopt;
}

std::optional<std::string> YamlSource::check_flow_item(YamlPosition position) const {
  const std::size_t begin = behind_anchor(position.offset);
  if (at(begin) == ',' || at(begin) == ']') return "expected a value before the comma or bracket";
  if (at(begin) == '-' && std::string_view(" \t\r\n,[]{}").find(at(begin + 1)) != std::string_view::npos) {
    return "expected a value, found a dash";
  }
  return std::nullopt;
}

std::optional<std::string> YamlSource::check_flow(YamlPosition position) const {
  int depth = 0;
  char before = ' ';
  char before_blanks = ' ';  // the last character that is neither blank nor a comment
  for (std::size_t i = behind_anchor(position.offset); i < text_.size(); ++i) {
    const char c = text_[i];
    const bool begins_value = std::string_view("[{,:").find(before_blanks) != std::string_view::npos;
    if (c == '#' && std::string_view("[]{},").find(before) != std::string_view::npos) {
      return "expected a space before a comment";
    }
    if (c == '#' && kBlankOrBreak.find(before) != std::string_view::npos) {
      i = std::min(text_.find('\n', i), text_.size());
      before = '\n';
      continue;
    }
    if ((c == '"' || c == '\'') && begins_value) {
      const auto end = end_of_quoted(i);
      if (!end) return "expected a quote that ends the text";
      i = *end - 1;
    } else if (c == '&' && begins_value) {
      i = behind_anchor(i) - 1;
      before = ' ';
      continue;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if ((c == ']' || c == '}') && --depth <= 0) {
      return at(i + 1) == '#' ? std::optional<std::string>("expected a space before a comment") : std::nullopt;
    }
    before = c;
    if (kBlankOrBreak.find(c) == std::string_view::npos) before_blanks = c;
  }
  return "expected the closing bracket of the list or map that begins here, found the end of the file";
}

std::optional<std::string> YamlSource::check_start() const {
  for (std::size_t begin = 0; begin < text_.size();) {
    if (text_[begin] == '%') return "directives are not accepted";
    const std::size_t first = text_.find_first_not_of(kBlankOrBreak, begin);
    if (first == std::string_view::npos || text_[first] != '#') {
      return first != std::string_view::npos && text_[first] == '%' && (first == 0 || text_[first - 1] == '\n')
                 ? std::optional<std::string>("directives are not accepted")
                 : std::nullopt;
    }
    begin = std::min(text_.find('\n', first), text_.size() - 1) + 1;
  }
  return std::nullopt;
}

}  // namespace secondsource::detail
