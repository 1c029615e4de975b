#pragma once
// Decides which names may become paths inside a bundle.

#include <filesystem>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// Checks a path inside a bundle. It must be relative, UTF-8, with / between its parts, at most 512 bytes long with at
/// most 255 per part, without empty parts, "." or "..", without backslashes, colons or control characters, and must
/// mean the same on every system. Error messages begin with `name`. Errors: kInvalidInput.
Result<void> check_relative_path(std::string_view path, std::string_view name);

/// Returns the file that such a path names in `folder`, after resolving symbolic links. It must exist, be a regular
/// file and lie in `folder`. Errors: kInvalidInput.
Result<std::filesystem::path> resolve_inside(const std::filesystem::path& folder, std::string_view path);

}  // namespace secondsource
