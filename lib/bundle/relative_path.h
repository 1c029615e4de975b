#pragma once
// Paths inside a bundle: the one place that decides which names may become paths.

#include <filesystem>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// A path inside a bundle is relative, UTF-8, with / between its parts, at most 512 bytes, without empty parts, "." or
/// "..", without backslashes, colons or control characters, and in a form that means the same on every system.
/// `name` stands first in errors. Errors: kInvalidInput.
Result<void> check_relative_path(std::string_view path, std::string_view name);

/// The file that such a path names in `folder`, after symbolic links; it must exist, be a regular file and lie in
/// `folder`. Errors: kInvalidInput.
Result<std::filesystem::path> resolve_inside(const std::filesystem::path& folder, std::string_view path);

}  // namespace secondsource
