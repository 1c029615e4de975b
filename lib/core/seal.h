#pragma once
// A checksum inside the text of a JSON object, as its last member: a damaged file is refused instead of read.
//
//   {"type":"sample","cell":"..."}  becomes  {"type":"sample","cell":"...","checksum":"0f5c7a9be1d2c348"}
//
// The checksum is the first 16 hexadecimal digits of the SHA-256 of all bytes before the comma that precedes it. Text
// without one is accepted, since earlier versions wrote none.

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// Adds a checksum to the text of a JSON object that has members; the text may end with a newline. Text with line breaks
/// between its members gets a line for it.
[[nodiscard]] std::string sealed(std::string_view object_text);

enum class Seal : std::uint8_t { kNone, kGood, kBroken };

/// Compares the checksum at the end of a text with the text.
[[nodiscard]] Seal seal_of(std::string_view object_text);

/// True if the text has a checksum, false if it has none. Errors: kInvalidInput, beginning with `name`, when the
/// checksum is not that of the text.
Result<bool> has_good_seal(std::string_view object_text, std::string_view name);

}  // namespace secondsource
