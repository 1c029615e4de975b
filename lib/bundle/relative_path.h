#pragma once
// Paths inside a bundle: the one place that decides which names may become paths.

#include <string_view>

#include "core/result.h"

namespace secondsource {

/// A path inside a bundle is relative, UTF-8, with / between its parts, at most 512 bytes, without empty parts, "." or
/// "..", without backslashes, colons or control characters, and in a form that means the same on every system.
/// `name` stands first in errors. Errors: kInvalidInput.
Result<void> check_relative_path(std::string_view path, std::string_view name);

}  // namespace secondsource
