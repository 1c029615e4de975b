#pragma once
// Base64 (RFC 4648, section 4), by OpenSSL.

#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// The bytes of a text in base64 with its padding. Errors: kInvalidInput for another text.
[[nodiscard]] Result<std::string> decode_base64(std::string_view text);

/// The bytes in base64 with its padding, in one line.
[[nodiscard]] std::string encode_base64(std::string_view bytes);

}  // namespace secondsource
