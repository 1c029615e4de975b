#pragma once
// The text of a value as Python writes it: str() and repr().

#include <string>

#include "jinja/runtime.h"
#include "jinja/value.h"

namespace secondsource::jinja {

/// What {{ value }} prints: "True", "None", "1e+16", "['a', 1.0]"; nothing for undefined.
void add_str(TextBuilder& out, const Value& value);
/// The value as a literal where Python has one.
void add_repr(TextBuilder& out, const Value& value);

/// The value itself if it is a text, else its str().
[[nodiscard]] Text to_text(Runtime& runtime, const Value& value);
/// str() for messages, cut to a readable length.
[[nodiscard]] std::string repr_for_message(Runtime& runtime, const Value& value);
/// The shortest text that reads as the same number: "0.1", "1e+16", "inf", "nan".
[[nodiscard]] std::string float_text(double number);

}  // namespace secondsource::jinja
