#include "jinja/json_text.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "jinja/operators.h"
#include "jinja/python_text.h"
#include "tokenizer/unicode.h"

namespace secondsource::jinja {
namespace {

class Writer {
 public:
  Writer(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style), out_(runtime) {}

  Result<Value> run(const Value& value) {
    SS_TRY_VOID(write(value, 0));
    return out_.text();
  }

 private:
  Result<void> write(const Value& value, int level) {
    if (!out_.is_open()) return runtime_.check();
    if (const Sequence* sequence = as_sequence(value)) {
      const bool is_list = sequence->kind == SequenceKind::kList || sequence->kind == SequenceKind::kTuple;
      return is_list ? write_list(*sequence, level) : refuse(value);
    }
    if (const Dict* dict = as_dict(value)) return write_dict(*dict, level);
    if (const std::string* text = as_text(value)) {
      write_text(*text);
      return {};
    }
    const std::optional<std::string> scalar = scalar_text(value);
    if (!scalar) return refuse(value);
    out_.add(*scalar);
    return {};
  }

  [[nodiscard]] Result<void> refuse(const Value& value) const {
    return runtime_.fail(fmt::format("tojson: expected a value that JSON has, found {}", type_name(value)));
  }

  [[nodiscard]] static std::optional<std::string> scalar_text(const Value& value) {
    if (is_none(value)) return "null";
    if (const bool* truth = as<bool>(value)) return *truth ? "true" : "false";
    if (const std::int64_t* integer = as<std::int64_t>(value)) return std::to_string(*integer);
    const double* number = as<double>(value);
    if (number == nullptr) return std::nullopt;
    if (std::isnan(*number)) return "NaN";
    if (std::isinf(*number)) return *number > 0 ? "Infinity" : "-Infinity";
    return float_text(*number);
  }

  void write_text(std::string_view text) {
    std::string result = "\"";
    for (std::size_t i = 0; i < text.size();) {
      const tokenizer::Character character = tokenizer::character_at(text, i);
      write_character(character.code_point, text.substr(i, character.length), result);
      i += character.length;
    }
    out_.add(result + "\"");
  }

  void write_character(char32_t c, std::string_view bytes, std::string& result) const {
    constexpr std::string_view kShort = "\"\\\n\r\t\f\b";
    constexpr std::string_view kLetters = "\"\\nrtfb";
    if (const std::size_t found = c < 0x80 ? kShort.find(static_cast<char>(c)) : std::string_view::npos;
        found != std::string_view::npos) {
      result.append("\\").append(1, kLetters[found]);
    } else if (c < 0x20 || (style_.ensure_ascii && c >= 0x7f && c < 0x10000)) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else if (style_.ensure_ascii && c >= 0x10000) {
      const unsigned high = 0xd800 + ((static_cast<unsigned>(c) - 0x10000) >> 10);
      const unsigned low = 0xdc00 + ((static_cast<unsigned>(c) - 0x10000) & 0x3ff);
      result += fmt::format("\\u{:04x}\\u{:04x}", high, low);
    } else {
      result.append(bytes);
    }
  }

  void new_line(int level) {
    if (!style_.indent) return;
    out_.add("\n");
    for (int i = 0; i < level; ++i) out_.add(*style_.indent);
  }

  Result<void> write_list(const Sequence& sequence, int level) {
    out_.add("[");
    for (std::size_t i = 0; i < sequence.items.size(); ++i) {
      if (i > 0) out_.add(style_.item_separator);
      new_line(level + 1);
      SS_TRY_VOID(write(sequence.items[i], level + 1));
    }
    if (!sequence.items.empty()) new_line(level);
    out_.add("]");
    return {};
  }

  Result<void> write_dict(const Dict& dict, int level) {
    std::vector<std::pair<Value, Value>> entries = dict.entries;
    if (style_.sort_keys) {
      SS_TRY_VOID(sort_values(runtime_, entries, [](const auto& entry) -> const Value& { return entry.first; }));
    }
    out_.add("{");
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_.add(style_.item_separator);
      new_line(level + 1);
      const Value& key = entries[i].first;
      if (const std::string* text = as_text(key)) {
        write_text(*text);
      } else if (const std::optional<std::string> scalar = scalar_text(key)) {
        write_text(*scalar);
      } else {
        return runtime_.fail(
            fmt::format("tojson: expected a key of str, int, float, bool or None, found {}", type_name(key)));
      }
      out_.add(style_.key_separator);
      SS_TRY_VOID(write(entries[i].second, level + 1));
    }
    if (!entries.empty()) new_line(level);
    out_.add("}");
    return {};
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  TextBuilder out_;
};

}  // namespace

Result<Value> to_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  return Writer(runtime, style).run(value);
}

Value from_json(Runtime& runtime, const nlohmann::ordered_json& json) {
  using Kind = nlohmann::ordered_json::value_t;
  switch (json.type()) {
    case Kind::boolean:
      return json.get<bool>();
    case Kind::number_integer:
      return json.get<std::int64_t>();
    case Kind::number_unsigned: {
      const auto value = json.get<std::uint64_t>();
      if (value <= static_cast<std::uint64_t>(INT64_MAX)) return static_cast<std::int64_t>(value);
      return json.get<double>();
    }
    case Kind::number_float:
      return json.get<double>();
    case Kind::string:
      return runtime.text(json.get<std::string>());
    case Kind::array: {
      std::vector<Value> items;
      for (const auto& item : json) items.push_back(from_json(runtime, item));
      return runtime.list(std::move(items));
    }
    case Kind::object: {
      std::vector<std::pair<Value, Value>> entries;
      for (const auto& [key, item] : json.items()) entries.emplace_back(runtime.text(key), from_json(runtime, item));
      return runtime.dict(std::move(entries));
    }
    default:
      return None{};
  }
}

}  // namespace secondsource::jinja
