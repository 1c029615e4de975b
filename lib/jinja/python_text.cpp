#include "jinja/python_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "core/overloaded.h"
#include "core/utf8.h"
#include "tokenizer/unicode.h"

namespace secondsource::jinja {
namespace {

/// Python quotes a text with ' unless it has ' and no ".
void add_text_repr(TextBuilder& out, std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string result(1, quote);
  for (std::size_t i = 0; i < text.size();) {
    const tokenizer::Character character = tokenizer::character_at(text, i);
    const char32_t c = character.code_point;
    if (c == static_cast<char32_t>(quote) || c == U'\\') {
      result.append("\\").append(1, static_cast<char>(c));
    } else if (c == U'\n') {
      result += "\\n";
    } else if (c == U'\r') {
      result += "\\r";
    } else if (c == U'\t') {
      result += "\\t";
    } else if (tokenizer::is_printable(c)) {
      result.append(text.substr(i, character.length));
    } else if (c < 0x100) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else if (c < 0x10000) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      result += fmt::format("\\U{:08x}", static_cast<unsigned>(c));
    }
    i += character.length;
  }
  result.push_back(quote);
  out.add(result);
}

void add_items(TextBuilder& out, std::span<const Value> items) {
  for (std::size_t i = 0; i < items.size() && out.is_open(); ++i) {
    if (i > 0) out.add(", ");
    add_repr(out, items[i]);
  }
}

void add_sequence(TextBuilder& out, const Sequence& sequence) {
  switch (sequence.kind) {
    case SequenceKind::kTuple:
      out.add("(");
      add_items(out, sequence.items);
      out.add(sequence.items.size() == 1 ? ",)" : ")");
      return;
    case SequenceKind::kIterator:
      out.add("<generator object>");
      return;
    default:
      out.add("[");
      add_items(out, sequence.items);
      out.add("]");
  }
}

void add_entries(TextBuilder& out, const Dict& dict) {
  out.add("{");
  for (std::size_t i = 0; i < dict.entries.size() && out.is_open(); ++i) {
    if (i > 0) out.add(", ");
    add_repr(out, dict.entries[i].first);
    out.add(": ");
    add_repr(out, dict.entries[i].second);
  }
  out.add("}");
}

}  // namespace

std::string float_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  std::array<char, 64> buffer{};
  const auto scientific =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, std::chars_format::scientific);
  const std::string text(buffer.data(), scientific.ptr);
  const std::size_t e = text.find('e');
  const int exponent = std::atoi(text.c_str() + e + 1);
  if (exponent < -4 || exponent >= 16) return text;  // both write at least two digits of the exponent
  const auto fixed = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, std::chars_format::fixed);
  std::string result(buffer.data(), fixed.ptr);
  if (result.find('.') == std::string::npos) result += ".0";
  return result;
}

void add_str(TextBuilder& out, const Value& value) {
  if (const std::string* text = as_text(value)) {
    out.add(*text);
  } else if (!is_undefined(value)) {
    add_repr(out, value);
  }
}

void add_repr(TextBuilder& out, const Value& value) {
  std::visit(
      Overloaded{
          [&](None) { out.add("None"); },
          [&](Undefined) { out.add("Undefined"); },
          [&](bool truth) { out.add(truth ? "True" : "False"); },
          [&](std::int64_t integer) { out.add(std::to_string(integer)); },
          [&](double number) { out.add(float_text(number)); },
          [&](const Text& text) { add_text_repr(out, text.bytes()); },
          [&](const Sequence* sequence) { add_sequence(out, *sequence); },
          [&](const Dict* dict) { add_entries(out, *dict); },
          [&](const Namespace*) { out.add("<Namespace>"); },
          [&](const Loop* loop) { out.add(fmt::format("<LoopContext {}/{}>", loop->index + 1, loop->items.size())); },
          [&](const Callable* callable) { out.add(fmt::format("<function {}>", callable->name)); },
      },
      value);
}

Text to_text(Runtime& runtime, const Value& value) {
  if (const Text* text = as<Text>(value)) return *text;
  TextBuilder out(runtime);
  add_str(out, value);
  return std::get<Text>(out.text());
}

std::string repr_for_message(Runtime& runtime, const Value& value) {
  TextBuilder out(runtime);
  add_repr(out, value);
  return shown(out.take(), 60);
}

}  // namespace secondsource::jinja
