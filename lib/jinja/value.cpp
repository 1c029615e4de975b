#include "jinja/value.h"

#include <algorithm>

#include "core/overloaded.h"

namespace secondsource::jinja {
namespace {

std::int64_t count_characters(std::string_view bytes) {
  return std::count_if(bytes.begin(), bytes.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; });
}

/// What a text takes beside its bytes.
constexpr std::int64_t kTextOverhead = 64;

}  // namespace

Text::Body::Body(std::string text, Meter* counter)
    : bytes(std::move(text)), n_characters(count_characters(bytes)), meter(counter) {
  if (meter != nullptr) meter->live_bytes += static_cast<std::int64_t>(bytes.size()) + kTextOverhead;
}

Text::Body::~Body() {
  if (meter != nullptr) meter->live_bytes -= static_cast<std::int64_t>(bytes.size()) + kTextOverhead;
}

Text::Text(std::string bytes, Meter* meter) : body_(std::make_shared<const Body>(std::move(bytes), meter)) {}

Value* Namespace::find(std::string_view name) {
  const auto found =
      std::find_if(attributes.begin(), attributes.end(), [&](const auto& entry) { return entry.first == name; });
  return found == attributes.end() ? nullptr : &found->second;
}

std::optional<std::int64_t> as_integer(const Value& value) {
  if (const bool* truth = as<bool>(value)) return *truth ? 1 : 0;
  const std::int64_t* integer = as<std::int64_t>(value);
  return integer == nullptr ? std::nullopt : std::optional(*integer);
}

std::optional<double> as_number(const Value& value) {
  if (const double* number = as<double>(value)) return *number;
  const std::optional<std::int64_t> integer = as_integer(value);
  return integer ? std::optional(static_cast<double>(*integer)) : std::nullopt;
}

const Sequence* as_indexed(const Value& value) {
  const Sequence* sequence = as_sequence(value);
  if (sequence == nullptr || sequence->kind == SequenceKind::kView || sequence->kind == SequenceKind::kIterator) {
    return nullptr;
  }
  return sequence;
}

std::string_view type_name(const Value& value) {
  return std::visit(Overloaded{
                        [](None) -> std::string_view { return "NoneType"; },
                        [](Undefined) -> std::string_view { return "Undefined"; },
                        [](bool) -> std::string_view { return "bool"; },
                        [](std::int64_t) -> std::string_view { return "int"; },
                        [](double) -> std::string_view { return "float"; },
                        [](const Text&) -> std::string_view { return "str"; },
                        [](const Sequence* sequence) -> std::string_view {
                          switch (sequence->kind) {
                            case SequenceKind::kList:
                              return "list";
                            case SequenceKind::kTuple:
                              return "tuple";
                            case SequenceKind::kRange:
                              return "range";
                            case SequenceKind::kView:
                              return "dict view";
                            case SequenceKind::kIterator:
                              return "generator";
                          }
                          return "list";
                        },
                        [](const Dict*) -> std::string_view { return "dict"; },
                        [](const Namespace*) -> std::string_view { return "Namespace"; },
                        [](const Loop*) -> std::string_view { return "LoopContext"; },
                        [](const Callable*) -> std::string_view { return "function"; },
                    },
                    value);
}

bool is_true(const Value& value) {
  return std::visit(Overloaded{
                        [](None) { return false; },
                        [](Undefined) { return false; },
                        [](bool truth) { return truth; },
                        [](std::int64_t integer) { return integer != 0; },
                        [](double number) { return number != 0; },
                        [](const Text& text) { return !text.bytes().empty(); },
                        [](const Sequence* sequence) {
                          return sequence->kind == SequenceKind::kIterator || !sequence->items.empty();
                        },
                        [](const Dict* dict) { return !dict->entries.empty(); },
                        [](const Namespace*) { return true; },
                        [](const Loop*) { return true; },
                        [](const Callable*) { return true; },
                    },
                    value);
}

}  // namespace secondsource::jinja
