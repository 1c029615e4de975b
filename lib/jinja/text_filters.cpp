// Filters whose result is a text.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "jinja/filters.h"
#include "jinja/json_text.h"
#include "jinja/operators.h"
#include "jinja/printf_text.h"
#include "jinja/python_text.h"
#include "jinja/text_operations.h"
#include "jinja/whitespace.h"
#include "tokenizer/unicode.h"

namespace secondsource::jinja {
namespace text_filter {
namespace {

Value new_text(Runtime& runtime, std::string text) {
  runtime.spend_bytes(text.size());
  return runtime.text(std::move(text));
}

Result<Value> upper(Runtime& runtime, const Value& input, const Bound&) {
  return new_text(runtime, tokenizer::to_upper(to_text(runtime, input).bytes()));
}

Result<Value> lower(Runtime& runtime, const Value& input, const Bound&) {
  return new_text(runtime, tokenizer::to_lower(to_text(runtime, input).bytes()));
}

Result<Value> capitalize(Runtime& runtime, const Value& input, const Bound&) {
  return new_text(runtime, capitalized(to_text(runtime, input).bytes()));
}

/// Words begin after white space, a hyphen or an opening bracket.
Result<Value> title(Runtime& runtime, const Value& input, const Bound&) {
  const Text text = to_text(runtime, input);
  const std::string_view bytes = text.bytes();
  std::string result;
  bool begins_word = true;
  for (std::size_t i = 0; i < bytes.size();) {
    const tokenizer::Character character = tokenizer::character_at(bytes, i);
    const char32_t c = character.code_point;
    const std::string_view one = bytes.substr(i, character.length);
    result += begins_word ? tokenizer::to_upper(one) : tokenizer::to_lower(one);
    begins_word = is_white(c) || c == U'-' || c == U'(' || c == U'{' || c == U'[' || c == U'<';
    i += character.length;
  }
  return new_text(runtime, std::move(result));
}

Result<Value> trim(Runtime& runtime, const Value& input, const Bound& arguments) {
  const Text text = to_text(runtime, input);
  if (!arguments.has(0) || is_none(arguments[0])) {
    return new_text(runtime, std::string(stripped(text.bytes(), Ends::kBoth, std::nullopt)));
  }
  SS_TRY(const std::string chars, arguments.text_or(runtime, 0, ""));
  return new_text(runtime, std::string(stripped(text.bytes(), Ends::kBoth, chars)));
}

Result<Value> string(Runtime& runtime, const Value& input, const Bound&) {
  return Value(to_text(runtime, input));
}

Result<Value> escape(Runtime& runtime, const Value& input, const Bound&) {
  const Text text = to_text(runtime, input);
  TextBuilder out(runtime);
  for (const char& c : text.bytes()) {
    switch (c) {
      case '&':
        out.add("&amp;");
        break;
      case '<':
        out.add("&lt;");
        break;
      case '>':
        out.add("&gt;");
        break;
      case '\'':
        out.add("&#39;");
        break;
      case '"':
        out.add("&#34;");
        break;
      default:
        out.add(std::string_view(&c, 1));
    }
  }
  return out.text();
}

Result<Value> replace(Runtime& runtime, const Value& input, const Bound& arguments) {
  const bool is_all = !arguments.has(2) || is_none(arguments[2]);
  SS_TRY(const std::int64_t n, is_all ? Result<std::int64_t>(-1) : arguments.integer_or(runtime, 2, -1));
  return replaced(runtime, to_text(runtime, input).bytes(), to_text(runtime, arguments[0]).bytes(),
                  to_text(runtime, arguments[1]).bytes(), n);
}

Result<Value> center(Runtime& runtime, const Value& input, const Bound& arguments) {
  SS_TRY(const std::int64_t width, arguments.integer_or(runtime, 0, 80));
  return padded(runtime, to_text(runtime, input), width, " ", Ends::kBoth);
}

Result<Value> indent(Runtime& runtime, const Value& input, const Bound& arguments) {
  if (as_text(input) == nullptr)
    return runtime.fail(fmt::format("indent: expected a text, found {}", type_name(input)));
  std::string indention;
  if (arguments.has(0) && as_text(arguments[0]) != nullptr) {
    indention = *as_text(arguments[0]);
  } else {
    SS_TRY(const std::int64_t width, arguments.integer_or(runtime, 0, 4));
    if (width > 10'000) return runtime.fail("indent: expected a width of at most 10000");
    indention.assign(static_cast<std::size_t>(std::max<std::int64_t>(0, width)), ' ');
  }
  const bool indents_first = arguments.truth_or(1, false);
  const bool indents_blank = arguments.truth_or(2, false);
  // The added line end keeps an empty last line.
  const std::string text = *as_text(input) + "\n";
  TextBuilder out(runtime);
  bool is_first = true;
  for (const std::string_view line : lines_of(text)) {
    if (!is_first) out.add("\n");
    if (is_first ? indents_first : indents_blank || !line.empty()) out.add(indention);
    out.add(line);
    is_first = false;
  }
  return out.text();
}

Result<Value> truncate(Runtime& runtime, const Value& input, const Bound& arguments) {
  SS_TRY(const std::int64_t length, arguments.integer_or(runtime, 0, 255));
  SS_TRY(const std::string end, arguments.text_or(runtime, 2, "..."));
  const bool has_leeway = arguments.has(3) && !is_none(arguments[3]);
  SS_TRY(const std::int64_t leeway, has_leeway ? arguments.integer_or(runtime, 3, 5) : Result<std::int64_t>(5));
  const std::int64_t n_end = Text(end).n_characters();
  if (length < n_end || leeway < 0)
    return runtime.fail("truncate: expected a length of at least that of the end, and a leeway of at least 0");
  SS_TRY(const Value n_input, apply_filter(runtime, "length", input, {}));
  if (*as_integer(n_input) <= length + leeway) return input;
  if (as_text(input) == nullptr)
    return runtime.fail(fmt::format("truncate: expected a text, found {}", type_name(input)));
  const Text text = to_text(runtime, input);
  std::string_view kept = characters(text, 0, length - n_end);
  if (!arguments.truth_or(1, false)) kept = kept.substr(0, kept.rfind(' '));
  return new_text(runtime, std::string(kept) + end);
}

Result<Value> format(Runtime& runtime, const Value& input, const Bound& arguments) {
  const Arguments& more = arguments.more();
  const Text text = to_text(runtime, input);
  if (more.named.empty()) return printf_text(runtime, text.bytes(), runtime.tuple(more.positional));
  if (!more.positional.empty()) return runtime.fail("format: expected values or names, found both");
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, value] : more.named) entries.emplace_back(runtime.text(name), value);
  return printf_text(runtime, text.bytes(), runtime.dict(std::move(entries)));
}

Result<Value> join(Runtime& runtime, const Value& input, const Bound& arguments) {
  SS_TRY(const std::vector<Value> items, items_of(runtime, input));
  const Text separator = arguments.has(0) ? to_text(runtime, arguments[0]) : Text("");
  TextBuilder out(runtime);
  for (std::size_t i = 0; i < items.size(); ++i) {
    SS_TRY(const Value item, at_path(runtime, items[i], arguments.value_or(1, None{})));
    if (i > 0) out.add(separator.bytes());
    add_str(out, item);
  }
  return out.text();
}

bool is_unquoted(char c, bool is_query) {
  const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return is_letter || c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !is_query);
}

void add_quoted(TextBuilder& out, std::string_view text, bool is_query) {
  for (const char& c : text) {
    if (is_unquoted(c, is_query)) {
      out.add(std::string_view(&c, 1));
    } else if (c == ' ' && is_query) {
      out.add("+");
    } else {
      out.add(fmt::format("%{:02X}", static_cast<unsigned char>(c)));
    }
  }
}

Result<Value> urlencode(Runtime& runtime, const Value& input, const Bound&) {
  TextBuilder out(runtime);
  std::vector<std::pair<Value, Value>> pairs;
  if (const Dict* dict = as_dict(input)) {
    pairs = dict->entries;
  } else if (as_sequence(input) != nullptr) {
    SS_TRY(const std::vector<Value> items, items_of(runtime, input));
    for (const Value& item : items) {
      const Sequence* pair = as_indexed(item);
      if (pair == nullptr || pair->items.size() != 2) return runtime.fail("urlencode: expected pairs of key and value");
      pairs.emplace_back(pair->items[0], pair->items[1]);
    }
  } else {
    add_quoted(out, to_text(runtime, input).bytes(), false);
    return out.text();
  }
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (i > 0) out.add("&");
    add_quoted(out, to_text(runtime, pairs[i].first).bytes(), true);
    out.add("=");
    add_quoted(out, to_text(runtime, pairs[i].second).bytes(), true);
  }
  return out.text();
}

Result<JsonStyle> style_of(Runtime& runtime, const Bound& arguments) {
  JsonStyle style{
      .ensure_ascii = arguments.truth_or(0, false), .sort_keys = arguments.truth_or(3, false), .indent = {}};
  if (arguments.has(1) && !is_none(arguments[1])) {
    if (const std::string* text = as_text(arguments[1])) {
      style.indent = *text;
    } else {
      SS_TRY(const std::int64_t width, arguments.integer_or(runtime, 1, 0));
      style.indent = std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(width, 0, 1000)), ' ');
    }
    style.item_separator = ",";
  }
  if (arguments.has(2) && !is_none(arguments[2])) {
    const Sequence* separators = as_indexed(arguments[2]);
    const bool are_two = separators != nullptr && separators->items.size() == 2 &&
                         as_text(separators->items[0]) != nullptr && as_text(separators->items[1]) != nullptr;
    if (!are_two) return runtime.fail("tojson: separators: expected two texts");
    style.item_separator = *as_text(separators->items[0]);
    style.key_separator = *as_text(separators->items[1]);
  }
  return style;
}

Result<Value> tojson(Runtime& runtime, const Value& input, const Bound& arguments) {
  SS_TRY(const JsonStyle style, style_of(runtime, arguments));
  return to_json(runtime, input, style);
}

Result<Value> filesizeformat(Runtime& runtime, const Value& input, const Bound& arguments) {
  const std::optional<double> bytes = as_number(input);
  if (!bytes) return runtime.fail(fmt::format("filesizeformat: expected a number, found {}", type_name(input)));
  const bool is_binary = arguments.truth_or(0, false);
  const double base = is_binary ? 1024 : 1000;
  if (*bytes == 1) return runtime.text("1 Byte");
  if (*bytes < base) return runtime.text(fmt::format("{} Bytes", static_cast<std::int64_t>(*bytes)));
  constexpr std::string_view kPrefixes = "kMGTPEZY";
  double unit = base * base;
  std::size_t i = 0;
  for (; i + 1 < kPrefixes.size() && *bytes >= unit; ++i) unit *= base;
  const char prefix = is_binary && i == 0 ? 'K' : kPrefixes[i];
  return runtime.text(fmt::format("{:.1f} {}{}", base * *bytes / unit, prefix, is_binary ? "iB" : "B"));
}

using Names = std::string_view;
constexpr Parameters kNone{.names = {}};
constexpr std::array<Names, 1> kChars = {"chars"};
constexpr std::array<Names, 3> kReplace = {"old", "new", "count"};
constexpr std::array<Names, 1> kWidth = {"width"};
constexpr std::array<Names, 3> kIndent = {"width", "first", "blank"};
constexpr std::array<Names, 4> kTruncate = {"length", "killwords", "end", "leeway"};
constexpr std::array<Names, 2> kJoin = {"d", "attribute"};
constexpr std::array<Names, 4> kToJson = {"ensure_ascii", "indent", "separators", "sort_keys"};
constexpr std::array<Names, 1> kBinary = {"binary"};

constexpr std::array kFilters = {
    Filter{"upper", kNone, upper},
    Filter{"lower", kNone, lower},
    Filter{"capitalize", kNone, capitalize},
    Filter{"title", kNone, title},
    Filter{"trim", {.names = kChars}, trim},
    Filter{"string", kNone, string},
    Filter{"safe", kNone, string},
    Filter{"escape", kNone, escape},
    Filter{"e", kNone, escape},
    Filter{"forceescape", kNone, escape},
    Filter{"replace", {.names = kReplace, .n_required = 2}, replace},
    Filter{"center", {.names = kWidth}, center},
    Filter{"indent", {.names = kIndent}, indent},
    Filter{"truncate", {.names = kTruncate}, truncate},
    Filter{"format", {.names = {}, .takes_more = true}, format},
    Filter{"join", {.names = kJoin}, join},
    Filter{"urlencode", kNone, urlencode},
    Filter{"tojson", {.names = kToJson}, tojson},
    Filter{"filesizeformat", {.names = kBinary}, filesizeformat},
};

}  // namespace
}  // namespace text_filter

std::span<const Filter> text_filters() {
  return text_filter::kFilters;
}

}  // namespace secondsource::jinja
