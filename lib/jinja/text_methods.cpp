// The methods of texts.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/utf8.h"
#include "jinja/methods.h"
#include "jinja/operators.h"
#include "jinja/printf_text.h"
#include "jinja/text_operations.h"
#include "jinja/whitespace.h"
#include "tokenizer/unicode.h"

namespace secondsource::jinja {
namespace text_method {
namespace {

using Names = std::string_view;

const Text& text_of(const Value& self) {
  return std::get<Text>(self);
}

std::string_view bytes_of(const Value& self) {
  return text_of(self).bytes();
}

// ---- case and ends

Value new_text(Runtime& runtime, std::string_view text) {
  runtime.spend_bytes(text.size());
  return runtime.text(std::string(text));
}

Result<Value> upper(Runtime& runtime, const Value& self, const Bound&) {
  return new_text(runtime, tokenizer::to_upper(bytes_of(self)));
}

Result<Value> lower(Runtime& runtime, const Value& self, const Bound&) {
  return new_text(runtime, tokenizer::to_lower(bytes_of(self)));
}

Result<Value> casefold(Runtime& runtime, const Value& self, const Bound&) {
  SS_TRY(const std::string folded, tokenizer::case_folded(bytes_of(self)));
  return new_text(runtime, folded);
}

Result<Value> title(Runtime& runtime, const Value& self, const Bound&) {
  return new_text(runtime, titled(bytes_of(self)));
}

Result<Value> capitalize(Runtime& runtime, const Value& self, const Bound&) {
  return new_text(runtime, capitalized(bytes_of(self)));
}

Result<Value> swapcase(Runtime& runtime, const Value& self, const Bound&) {
  std::string result;
  const std::string_view text = bytes_of(self);
  for (std::size_t i = 0; i < text.size();) {
    const tokenizer::Character character = tokenizer::character_at(text, i);
    const std::string_view bytes = text.substr(i, character.length);
    result += tokenizer::is_upper(character.code_point) ? tokenizer::to_lower(bytes) : tokenizer::to_upper(bytes);
    i += character.length;
  }
  return new_text(runtime, result);
}

template <Ends ends>
Result<Value> strip(Runtime& runtime, const Value& self, const Bound& arguments) {
  if (!arguments.has(0) || is_none(arguments[0]))
    return new_text(runtime, stripped(bytes_of(self), ends, std::nullopt));
  SS_TRY(const std::string chars, arguments.text_or(runtime, 0, ""));
  runtime.spend_bytes(bytes_of(self).size() * (1 + chars.size() / 8));
  return new_text(runtime, stripped(bytes_of(self), ends, chars));
}

Result<Value> removeprefix(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(const std::string prefix, arguments.text_or(runtime, 0, ""));
  const std::string_view text = bytes_of(self);
  return new_text(runtime, text.starts_with(prefix) ? text.substr(prefix.size()) : text);
}

Result<Value> removesuffix(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(const std::string suffix, arguments.text_or(runtime, 0, ""));
  const std::string_view text = bytes_of(self);
  return new_text(runtime, text.ends_with(suffix) ? text.substr(0, text.size() - suffix.size()) : text);
}

template <Ends text_at>
Result<Value> justify(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(const std::int64_t width, arguments.integer_or(runtime, 0, 0));
  SS_TRY(const std::string fill, arguments.text_or(runtime, 1, " "));
  if (Text(fill).n_characters() != 1) return runtime.fail("expected one character to fill with");
  return padded(runtime, text_of(self), width, fill, text_at);
}

Result<Value> zfill(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(const std::int64_t width, arguments.integer_or(runtime, 0, 0));
  const std::string_view text = bytes_of(self);
  const bool has_sign = text.starts_with('-') || text.starts_with('+');
  TextBuilder out(runtime);
  if (has_sign) out.add(text.substr(0, 1));
  for (std::int64_t i = text_of(self).n_characters(); i < width && runtime.spend(); ++i) out.add("0");
  out.add(text.substr(has_sign ? 1 : 0));
  return out.text();
}

Result<Value> expandtabs(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(const std::int64_t tab_size, arguments.integer_or(runtime, 0, 8));
  const std::string_view text = bytes_of(self);
  TextBuilder out(runtime);
  std::int64_t column = 0;
  for (std::size_t i = 0; i < text.size() && out.is_open();) {
    const std::string_view character = text.substr(i, tokenizer::character_length(text[i]));
    i += character.size();
    if (character != "\t") {
      out.add(character);
      column = character == "\n" || character == "\r" ? 0 : column + 1;
      continue;
    }
    const std::int64_t n_spaces = tab_size > 0 ? tab_size - column % tab_size : 0;
    for (std::int64_t space = 0; space < n_spaces && runtime.spend(); ++space) out.add(" ");
    column += n_spaces;
  }
  return out.text();
}

// ---- pieces

void add_piece(Runtime& runtime, std::vector<Value>& pieces, std::string_view piece) {
  if (runtime.spend_bytes(piece.size()) && runtime.can_hold(piece.size()))
    pieces.push_back(runtime.text(std::string(piece)));
}

std::vector<Value> split_at_white(Runtime& runtime, std::string_view text, std::int64_t n) {
  std::vector<Value> pieces;
  text.remove_prefix(white_prefix(text));
  for (; !text.empty(); text.remove_prefix(white_prefix(text))) {
    std::size_t end = 0;
    if (n == 0) {
      add_piece(runtime, pieces, text);
      break;
    }
    while (end < text.size()) {
      const tokenizer::Character character = tokenizer::character_at(text, end);
      if (is_white(character.code_point)) break;
      end += character.length;
    }
    add_piece(runtime, pieces, text.substr(0, end));
    text.remove_prefix(end);
    --n;
  }
  return pieces;
}

std::vector<Value> rsplit_at_white(Runtime& runtime, std::string_view text, std::int64_t n) {
  std::vector<Value> pieces;
  text.remove_suffix(white_suffix(text));
  for (; !text.empty(); text.remove_suffix(white_suffix(text))) {
    if (n == 0) {
      add_piece(runtime, pieces, text);
      break;
    }
    std::size_t begin = text.size();
    while (begin > 0) {
      const tokenizer::Character character = tokenizer::character_before(text, begin);
      if (is_white(character.code_point)) break;
      begin -= character.length;
    }
    add_piece(runtime, pieces, text.substr(begin));
    text.remove_suffix(text.size() - begin);
    --n;
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::vector<Value> split_at(Runtime& runtime, std::string_view text, std::string_view separator, std::int64_t n,
                            bool from_right) {
  std::vector<Value> pieces;
  while (n != 0) {
    const std::size_t found = from_right ? text.rfind(separator) : text.find(separator);
    if (found == std::string_view::npos || !runtime.spend()) break;
    const std::string_view before = text.substr(0, found);
    const std::string_view after = text.substr(found + separator.size());
    add_piece(runtime, pieces, from_right ? after : before);
    text = from_right ? before : after;
    --n;
  }
  add_piece(runtime, pieces, text);
  if (from_right) std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

template <bool from_right>
Result<Value> split(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(const std::int64_t n, arguments.integer_or(runtime, 1, -1));
  if (!arguments.has(0) || is_none(arguments[0])) {
    return runtime.list(from_right ? rsplit_at_white(runtime, bytes_of(self), n)
                                   : split_at_white(runtime, bytes_of(self), n));
  }
  SS_TRY(const std::string separator, arguments.text_or(runtime, 0, ""));
  if (separator.empty()) return runtime.fail("split: expected a separator, found an empty text");
  return runtime.list(split_at(runtime, bytes_of(self), separator, n, from_right));
}

Result<Value> splitlines(Runtime& runtime, const Value& self, const Bound& arguments) {
  std::vector<Value> lines;
  for (const std::string_view line : lines_of(bytes_of(self), arguments.truth_or(0, false)))
    add_piece(runtime, lines, line);
  return runtime.list(std::move(lines));
}

template <bool from_right>
Result<Value> partition(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(const std::string separator, arguments.text_or(runtime, 0, ""));
  if (separator.empty()) return runtime.fail("partition: expected a separator, found an empty text");
  const std::string_view text = bytes_of(self);
  const std::size_t found = from_right ? text.rfind(separator) : text.find(separator);
  const bool is_found = found != std::string_view::npos;
  const std::string_view before = is_found ? text.substr(0, found) : from_right ? "" : text;
  const std::string_view after = is_found ? text.substr(found + separator.size()) : from_right ? text : "";
  std::vector<Value> pieces;
  for (const std::string_view piece : {before, is_found ? std::string_view(separator) : "", after}) {
    add_piece(runtime, pieces, piece);
  }
  return runtime.tuple(std::move(pieces));
}

Result<Value> join(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(const std::vector<Value> items, items_of(runtime, arguments[0]));
  TextBuilder out(runtime);
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string* text = as_text(items[i]);
    if (text == nullptr) return runtime.fail(fmt::format("join: expected texts, found {}", type_name(items[i])));
    if (i > 0) out.add(bytes_of(self));
    out.add(*text);
  }
  return out.text();
}

Result<Value> replace(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(const std::string old, arguments.text_or(runtime, 0, ""));
  SS_TRY(const std::string by, arguments.text_or(runtime, 1, ""));
  SS_TRY(const std::int64_t n, arguments.integer_or(runtime, 2, -1));
  return replaced(runtime, bytes_of(self), old, by, n);
}

Result<Value> format(Runtime& runtime, const Value& self, const Bound& arguments) {
  return format_text(runtime, bytes_of(self), arguments.more());
}

// ---- looking for a text

/// The part of the text that the optional arguments (text, start, end) of a search name.
struct Window {
  std::string_view text;
  std::int64_t start = 0;  ///< in characters
  bool is_valid = true;    ///< false if start lies behind the end
};

Result<Window> window_of(Runtime& runtime, const Value& self, const Bound& arguments) {
  const Text& text = text_of(self);
  const std::int64_t n = text.n_characters();
  const auto bound = [&](std::size_t i, std::int64_t absent) -> Result<std::int64_t> {
    if (arguments.has(i) && is_none(arguments[i])) return absent;
    SS_TRY(const std::int64_t at, arguments.integer_or(runtime, i, absent));
    return at < 0 ? std::max<std::int64_t>(0, at + n) : at;
  };
  SS_TRY(const std::int64_t start, bound(1, 0));
  SS_TRY(std::int64_t end, bound(2, n));
  end = std::min(end, n);
  runtime.spend_bytes(text.bytes().size());
  if (start > end) return Window{.text = {}, .start = start, .is_valid = false};
  return Window{.text = characters(text, start, end), .start = start};
}

template <bool at_end>
Result<Value> begins_or_ends(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(const Window window, window_of(runtime, self, arguments));
  std::vector<Value> candidates = {arguments[0]};
  if (const Sequence* several = as_sequence(arguments[0]);
      several != nullptr && several->kind == SequenceKind::kTuple) {
    candidates = several->items;
  }
  bool is_found = false;
  for (const Value& candidate : candidates) {
    const std::string* text = as_text(candidate);
    if (text == nullptr) {
      return runtime.fail(
          fmt::format("startswith, endswith: expected a text or a tuple of texts, found {}", type_name(candidate)));
    }
    is_found =
        is_found || (window.is_valid && (at_end ? window.text.ends_with(*text) : window.text.starts_with(*text)));
  }
  return Value(is_found);
}

template <bool from_right>
Result<Value> find(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(const Window window, window_of(runtime, self, arguments));
  SS_TRY(const std::string wanted, arguments.text_or(runtime, 0, ""));
  const std::size_t found = !window.is_valid ? std::string_view::npos
                            : from_right     ? window.text.rfind(wanted)
                                             : window.text.find(wanted);
  if (found == std::string_view::npos) return Value(std::int64_t{-1});
  return Value(window.start + Text(std::string(window.text.substr(0, found))).n_characters());
}

template <bool from_right>
Result<Value> index(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(Value found, find<from_right>(runtime, self, arguments));
  if (as_integer(found) == -1) return runtime.fail("index: expected a text that is there, found another");
  return found;
}

Result<Value> count(Runtime& runtime, const Value& self, const Bound& arguments) {
  SS_TRY(const Window window, window_of(runtime, self, arguments));
  SS_TRY(const std::string wanted, arguments.text_or(runtime, 0, ""));
  if (!window.is_valid) return Value(std::int64_t{0});
  if (wanted.empty()) return Value(Text(std::string(window.text)).n_characters() + 1);
  std::int64_t n = 0;
  for (std::size_t at = window.text.find(wanted); at != std::string_view::npos;
       at = window.text.find(wanted, at + wanted.size())) {
    ++n;
    runtime.spend();
  }
  return Value(n);
}

// ---- kinds of characters

template <bool (*is_one)(char32_t)>
Result<Value> all_are(Runtime& runtime, const Value& self, const Bound&) {
  const std::string_view text = bytes_of(self);
  runtime.spend_bytes(text.size());
  bool result = !text.empty();
  for (std::size_t i = 0; i < text.size() && result;) {
    const tokenizer::Character character = tokenizer::character_at(text, i);
    result = is_one(character.code_point);
    i += character.length;
  }
  return Value(result);
}

bool is_letter_or_digit(char32_t c) {
  return tokenizer::is_letter(c) || tokenizer::is_numeric(c);
}

bool is_ascii_character(char32_t c) {
  return c < 0x80;
}

/// isupper() and islower(): some letter has the case, and none the other.
template <bool (*has_case)(char32_t), bool (*has_other_case)(char32_t)>
Result<Value> has_one_case(Runtime& runtime, const Value& self, const Bound&) {
  const std::string_view text = bytes_of(self);
  runtime.spend_bytes(text.size());
  bool has_any = false;
  for (std::size_t i = 0; i < text.size();) {
    const tokenizer::Character character = tokenizer::character_at(text, i);
    if (has_other_case(character.code_point)) return Value(false);
    has_any = has_any || has_case(character.code_point);
    i += character.length;
  }
  return Value(has_any);
}

Result<Value> istitle(Runtime& runtime, const Value& self, const Bound&) {
  const std::string_view text = bytes_of(self);
  runtime.spend_bytes(text.size());
  bool has_any = false;
  bool is_in_word = false;
  for (std::size_t i = 0; i < text.size();) {
    const tokenizer::Character character = tokenizer::character_at(text, i);
    const bool is_upper = tokenizer::is_upper(character.code_point);
    const bool is_lower = tokenizer::is_lower(character.code_point);
    if ((is_upper && is_in_word) || (is_lower && !is_in_word)) return Value(false);
    is_in_word = is_upper || is_lower;
    has_any = has_any || is_in_word;
    i += character.length;
  }
  return Value(has_any);
}

constexpr std::array<Names, 1> kChars = {"chars"};
constexpr std::array<Names, 2> kSplit = {"sep", "maxsplit"};
constexpr std::array<Names, 1> kSeparator = {"sep"};
constexpr std::array<Names, 1> kTabSize = {"tabsize"};
constexpr std::array<Names, 1> kKeepEnds = {"keepends"};
constexpr std::array<Names, 1> kIterable = {"iterable"};
constexpr std::array<Names, 3> kReplace = {"old", "new", "count"};
constexpr std::array<Names, 3> kSearch = {"sub", "start", "end"};
constexpr std::array<Names, 2> kWidth = {"width", "fillchar"};
constexpr std::array<Names, 1> kAffix = {"affix"};

constexpr Parameters kNone{.names = {}};

constexpr std::array kMethods = {
    Method{"upper", kNone, upper},
    Method{"lower", kNone, lower},
    Method{"casefold", kNone, casefold},
    Method{"title", kNone, title},
    Method{"capitalize", kNone, capitalize},
    Method{"swapcase", kNone, swapcase},
    Method{"strip", {.names = kChars}, strip<Ends::kBoth>},
    Method{"lstrip", {.names = kChars}, strip<Ends::kLeft>},
    Method{"rstrip", {.names = kChars}, strip<Ends::kRight>},
    Method{"removeprefix", {.names = kAffix, .n_required = 1}, removeprefix},
    Method{"removesuffix", {.names = kAffix, .n_required = 1}, removesuffix},
    Method{"center", {.names = kWidth, .n_required = 1}, justify<Ends::kBoth>},
    Method{"ljust", {.names = kWidth, .n_required = 1}, justify<Ends::kLeft>},
    Method{"rjust", {.names = kWidth, .n_required = 1}, justify<Ends::kRight>},
    Method{"zfill", {.names = std::span(kWidth).first<1>(), .n_required = 1}, zfill},
    Method{"expandtabs", {.names = kTabSize}, expandtabs},
    Method{"split", {.names = kSplit}, split<false>},
    Method{"rsplit", {.names = kSplit}, split<true>},
    Method{"splitlines", {.names = kKeepEnds}, splitlines},
    Method{"partition", {.names = kSeparator, .n_required = 1}, partition<false>},
    Method{"rpartition", {.names = kSeparator, .n_required = 1}, partition<true>},
    Method{"join", {.names = kIterable, .n_required = 1}, join},
    Method{"replace", {.names = kReplace, .n_required = 2}, replace},
    Method{"format", {.names = {}, .takes_more = true}, format},
    Method{"startswith", {.names = kSearch, .n_required = 1}, begins_or_ends<false>},
    Method{"endswith", {.names = kSearch, .n_required = 1}, begins_or_ends<true>},
    Method{"find", {.names = kSearch, .n_required = 1}, find<false>},
    Method{"rfind", {.names = kSearch, .n_required = 1}, find<true>},
    Method{"index", {.names = kSearch, .n_required = 1}, index<false>},
    Method{"rindex", {.names = kSearch, .n_required = 1}, index<true>},
    Method{"count", {.names = kSearch, .n_required = 1}, count},
    Method{"isalpha", kNone, all_are<tokenizer::is_letter>},
    Method{"isdigit", kNone, all_are<tokenizer::is_decimal>},
    Method{"isdecimal", kNone, all_are<tokenizer::is_decimal>},
    Method{"isnumeric", kNone, all_are<tokenizer::is_numeric>},
    Method{"isalnum", kNone, all_are<is_letter_or_digit>},
    Method{"isspace", kNone, all_are<is_white>},
    Method{"isascii", kNone, all_are<is_ascii_character>},
    Method{"isupper", kNone, has_one_case<tokenizer::is_upper, tokenizer::is_lower>},
    Method{"islower", kNone, has_one_case<tokenizer::is_lower, tokenizer::is_upper>},
    Method{"istitle", kNone, istitle},
};

}  // namespace
}  // namespace text_method

const Method* find_text_method(std::string_view name) {
  const auto* found = std::find_if(text_method::kMethods.begin(), text_method::kMethods.end(),
                                   [&](const Method& one) { return one.name == name; });
  return found == text_method::kMethods.end() ? nullptr : found;
}

}  // namespace secondsource::jinja
