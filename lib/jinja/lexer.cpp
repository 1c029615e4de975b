#include "jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>

#include "core/ascii.h"
#include "core/number.h"
#include "core/utf8.h"
#include "jinja/whitespace.h"
#include "tokenizer/unicode.h"

namespace secondsource::jinja {
namespace {

bool is_name_start(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

bool is_name_part(char c) {
  return is_name_start(c) || is_ascii_digit(c);
}

/// Line ends become \n, and one at the very end is dropped, as Jinja2 does by default.
std::string with_plain_line_ends(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 == source.size() || source[i + 1] != '\n') text.push_back('\n');
    } else {
      text.push_back(source[i]);
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

constexpr std::array<std::string_view, 6> kLongOperators = {"//", "**", "==", "!=", ">=", "<="};
constexpr std::string_view kOperators = "+-/*%~[](){}><=.:|,;";

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view name) : source_(with_plain_line_ends(source)), name_(name) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) SS_TRY_VOID(read_data());
    add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  [[nodiscard]] Error fail(std::string_view message) const {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: line {}: {}", name_, line_, message)};
  }

  void add(TokenKind kind, std::string text = {}) {
    tokens_.push_back({.kind = kind, .line = line_, .text = std::move(text)});
  }

  [[nodiscard]] bool starts(std::string_view text, std::size_t offset = 0) const {
    return std::string_view(source_).substr(std::min(at_ + offset, source_.size())).starts_with(text);
  }

  void advance(std::size_t n) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at_ + n), '\n'));
    at_ += n;
  }

  void skip_space() { advance(white_prefix(std::string_view(source_).substr(at_))); }

  /// Where the next tag begins; the end of the source if there is none.
  [[nodiscard]] std::size_t next_tag() const {
    for (std::size_t i = source_.find('{', at_); i != std::string::npos; i = source_.find('{', i + 1)) {
      if (i + 1 < source_.size() && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#')) return i;
    }
    return source_.size();
  }

  /// Reads the text up to the next tag, and the tag.
  Result<void> read_data() {
    const std::size_t begin = at_;
    const std::size_t tag = next_tag();
    if (tag == source_.size()) {
      add(TokenKind::kData, source_.substr(begin));
      at_ = tag;
      return {};
    }
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    add_data(std::string_view(source_).substr(begin, tag - begin), sign, source_[tag + 1] == '{');
    advance(tag - begin);
    const char kind = source_[at_ + 1];
    advance(sign == '-' || sign == '+' ? 3 : 2);
    if (kind == '#') return skip_comment();
    if (kind == '{') return read_tag(TokenKind::kVariableBegin, TokenKind::kVariableEnd, "}}");
    if (const std::optional<std::size_t> raw = raw_begin()) {
      advance(*raw);
      return read_raw();
    }
    return read_tag(TokenKind::kBlockBegin, TokenKind::kBlockEnd, "%}");
  }

  /// Adds text in front of a tag without the white space that the tag removes.
  void add_data(std::string_view text, char sign, bool is_variable) {
    if (sign == '-') {
      text = text.substr(0, text.size() - white_suffix(text));
    } else if (sign != '+' && !is_variable) {
      const std::size_t newline = text.rfind('\n');
      const std::size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      const bool begins_line = line_begin > 0 || line_starting_;
      if (begins_line && white_prefix(text.substr(line_begin)) == text.size() - line_begin) {
        text = text.substr(0, line_begin);
      }
    }
    if (!text.empty()) add(TokenKind::kData, std::string(text));
  }

  /// Passes the end of a tag (`end` is "%}", "#}" or "}}"), which may begin with a sign, if it is here, with the white
  /// space or line end that it takes along.
  bool pass_end(std::string_view end) {
    const bool is_variable = end == "}}";
    if (starts("-") && starts(end, 1)) {
      advance(1 + end.size());
      const std::size_t before = at_;
      skip_space();
      line_starting_ = at_ > before && source_[at_ - 1] == '\n';
      return true;
    }
    if (!is_variable && starts("+") && starts(end, 1)) {
      advance(1 + end.size());
      line_starting_ = false;
      return true;
    }
    if (!starts(end)) return false;
    advance(end.size());
    line_starting_ = !is_variable && starts("\n");
    if (line_starting_) advance(1);
    return true;
  }

  Result<void> skip_comment() {
    if (at_ == source_.size()) return {};  // Jinja2 lets the last two characters be the beginning of a comment
    const std::size_t end = source_.find("#}", at_);
    if (end == std::string::npos) return fail("expected the end of a comment, #}, found none");
    // A sign belongs to the end, also that of "{#-#}", whose beginning already took it.
    const bool has_sign = end > at_ && (source_[end - 1] == '-' || source_[end - 1] == '+');
    advance(end - at_ - (has_sign ? 1 : 0));
    pass_end("#}");
    return {};
  }

  /// The length of " raw %}", if the block that begins here is one.
  [[nodiscard]] std::optional<std::size_t> raw_begin() const {
    const std::string_view rest = std::string_view(source_).substr(at_);
    std::size_t n = white_prefix(rest);
    if (!rest.substr(n).starts_with("raw")) return std::nullopt;
    n += 3;
    n += white_prefix(rest.substr(n));
    if (rest.substr(n).starts_with("-%}")) return n + 3 + white_prefix(rest.substr(n + 3));
    if (rest.substr(n).starts_with("%}")) return n + 2;
    return std::nullopt;
  }

  Result<void> read_raw() {
    line_starting_ = source_[at_ - 1] == '\n';
    const std::size_t begin = at_;
    for (std::size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      std::size_t end = tag + 2;
      const char sign = end < source_.size() ? source_[end] : '\0';
      if (sign == '-' || sign == '+') ++end;
      end += white_prefix(std::string_view(source_).substr(end));
      if (!std::string_view(source_).substr(end).starts_with("endraw")) continue;
      end += 6;
      end += white_prefix(std::string_view(source_).substr(end));
      const std::string_view rest = std::string_view(source_).substr(end);
      if (!rest.starts_with("%}") && !rest.starts_with("-%}") && !rest.starts_with("+%}")) continue;
      add_data(std::string_view(source_).substr(begin, tag - begin), sign, false);
      advance(end - at_);
      pass_end("%}");
      return {};
    }
    return fail("expected {% endraw %}, found the end of the template");
  }

  Result<void> read_tag(TokenKind begin, TokenKind end_kind, std::string_view end) {
    add(begin);
    std::string open;  // the closing brackets that are missing
    while (true) {
      if (open.empty()) {
        const int line = line_;
        if (pass_end(end)) {
          tokens_.push_back({.kind = end_kind, .line = line});
          return {};
        }
      }
      skip_space();
      if (at_ == source_.size()) return fail(fmt::format("expected {}, found the end of the template", end));
      if (open.empty() && (starts(end) || ((starts("-") || (end == "%}" && starts("+"))) && starts(end, 1)))) continue;
      SS_TRY_VOID(read_token(open));
    }
  }

  Result<void> read_token(std::string& open) {
    const char c = source_[at_];
    if (is_ascii_digit(c)) return read_number();
    if (is_name_start(c)) {
      std::size_t n = 1;
      while (at_ + n < source_.size() && is_name_part(source_[at_ + n])) ++n;
      add(TokenKind::kName, source_.substr(at_, n));
      advance(n);
      return {};
    }
    if (c == '"' || c == '\'') return read_text(c);
    return read_operator(open);
  }

  Result<void> read_operator(std::string& open) {
    const auto is_here = [&](std::string_view text) { return starts(text); };
    const auto* long_one = std::find_if(kLongOperators.begin(), kLongOperators.end(), is_here);
    if (long_one != kLongOperators.end()) {
      add(TokenKind::kOperator, std::string(*long_one));
      advance(2);
      return {};
    }
    const char c = source_[at_];
    if (kOperators.find(c) == std::string_view::npos) {
      const std::size_t length = tokenizer::character_length(c);
      return fail(fmt::format("expected an expression, found {}", in_quotes(source_.substr(at_, length))));
    }
    if (c == '(') open.push_back(')');
    if (c == '[') open.push_back(']');
    if (c == '{') open.push_back('}');
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) {
        return fail(fmt::format("expected {}, found '{}'",
                                open.empty() ? std::string("the end of the tag") : fmt::format("'{}'", open.back()),
                                c));
      }
      open.pop_back();
    }
    add(TokenKind::kOperator, std::string(1, c));
    advance(1);
    return {};
  }

  /// The length of digits with single underscores between them, from `offset` on.
  template <typename IsDigit>
  [[nodiscard]] std::size_t digits(std::size_t offset, IsDigit is_one) const {
    std::size_t n = 0;
    const auto at = [&](std::size_t i) { return offset + i < source_.size() ? source_[offset + i] : '\0'; };
    while (is_one(at(n)) || (n > 0 && at(n) == '_' && is_one(at(n + 1)))) ++n;
    return n;
  }

  Result<void> read_number() {
    const auto at = [&](std::size_t i) { return at_ + i < source_.size() ? source_[at_ + i] : '\0'; };
    std::size_t n = digits(at_, is_ascii_digit);
    bool is_float = false;
    if (at_ == 0 || source_[at_ - 1] != '.') {
      if (at(n) == '.' && is_ascii_digit(at(n + 1))) {
        n += 1 + digits(at_ + n + 1, is_ascii_digit);
        is_float = true;
      }
      const std::size_t sign = at(n + 1) == '+' || at(n + 1) == '-' ? 1 : 0;
      if ((at(n) == 'e' || at(n) == 'E') && is_ascii_digit(at(n + 1 + sign))) {
        n += 1 + sign + digits(at_ + n + 1 + sign, is_ascii_digit);
        is_float = true;
      }
    }
    if (!is_float) return read_integer();
    std::string written = source_.substr(at_, n);
    std::erase(written, '_');
    const std::optional<double> value = parse_number<double>(written);
    if (!value) return fail(fmt::format("expected a number that fits, found {}", in_quotes(written)));
    tokens_.push_back({.kind = TokenKind::kFloat, .line = line_, .number = *value});
    advance(n);
    return {};
  }

  Result<void> read_integer() {
    int base = 10;
    std::size_t skipped = 0;
    const auto is_digit_of_base = [&base](char c) {
      const int lower = std::tolower(static_cast<unsigned char>(c));
      return base == 16 ? std::isxdigit(static_cast<unsigned char>(c)) != 0 : lower >= '0' && lower < '0' + base;
    };
    if (source_[at_] == '0' && at_ + 1 < source_.size()) {
      const int letter = std::tolower(static_cast<unsigned char>(source_[at_ + 1]));
      const int found = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
      base = found;
      if (found != 10 && digits(at_ + 2, is_digit_of_base) > 0) skipped = 2;
    }
    if (skipped == 0) base = 10;
    std::size_t n = skipped + digits(at_ + skipped, is_digit_of_base);
    // Python has no 012: it reads the zeros as one number.
    if (base == 10 && source_[at_] == '0') n = digits(at_, [](char c) { return c == '0'; });
    std::string written = source_.substr(at_ + skipped, n - skipped);
    std::erase(written, '_');
    std::int64_t value = 0;
    const auto parsed = std::from_chars(written.data(), written.data() + written.size(), value, base);
    if (parsed.ec != std::errc()) {
      return fail(fmt::format("expected a whole number of 64 bits, found {}", in_quotes(written)));
    }
    tokens_.push_back({.kind = TokenKind::kInteger, .line = line_, .integer = value});
    advance(n);
    return {};
  }

  Result<void> read_text(char quote) {
    std::string text;
    const int line = line_;
    std::size_t i = at_ + 1;
    while (true) {
      if (i >= source_.size()) return fail("expected the end of a text in quotes, found the end of the template");
      const char c = source_[i];
      if (c == quote) break;
      if (c != '\\') {
        text.push_back(c);
        ++i;
        continue;
      }
      if (i + 1 >= source_.size()) return fail("expected the end of a text in quotes, found the end of the template");
      SS_TRY(const std::size_t n, read_escape(i + 1, text));
      i += 1 + n;
    }
    advance(i + 1 - at_);
    tokens_.push_back({.kind = TokenKind::kText, .line = line, .text = std::move(text)});
    return {};
  }

  /// Adds the character of the escape whose letter is at `i`; the length after the backslash.
  Result<std::size_t> read_escape(std::size_t i, std::string& text) const {
    constexpr std::string_view kLetters = "abfnrtv\\'\"\n";
    constexpr std::array<std::string_view, 11> kMeanings = {"\a", "\b", "\f", "\n", "\r", "\t",
                                                            "\v", "\\", "'",  "\"", ""};
    const char c = source_[i];
    if (const std::size_t found = kLetters.find(c); found != std::string_view::npos) {
      text += kMeanings[found];
      return 1;
    }
    const std::size_t n_hex = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    std::uint32_t code_point = 0;
    if (n_hex > 0) {
      const char* begin = source_.data() + i + 1;
      const char* end = begin + std::min(n_hex, source_.size() - i - 1);
      const auto parsed = std::from_chars(begin, end, code_point, 16);
      const bool is_character = code_point <= 0x10ffff && (code_point < 0xd800 || code_point > 0xdfff);
      if (parsed.ec != std::errc() || parsed.ptr != begin + n_hex || !is_character) {
        return fail(fmt::format("expected {} hexadecimal digits of a character after \\{}", n_hex, c));
      }
      tokenizer::append_character(text, code_point);
      return 1 + n_hex;
    }
    if (c == 'N') return fail("expected a character by its number, found one by its name (\\N)");
    std::size_t n = 0;
    while (n < 3 && i + n < source_.size() && source_[i + n] >= '0' && source_[i + n] <= '7') {
      code_point = code_point * 8 + static_cast<std::uint32_t>(source_[i + n] - '0');
      ++n;
    }
    if (n > 0) {
      tokenizer::append_character(text, code_point);
      return n;
    }
    text.push_back('\\');  // not an escape: both characters stay
    return 0;
  }

  std::string source_;
  std::string_view name_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  ///< the text after the last tag begins at the beginning of a line
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source, std::string_view template_name) {
  return Lexer(source, template_name).run();
}

}  // namespace secondsource::jinja
