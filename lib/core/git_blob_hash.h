#pragma once
// The name that git gives to a file's content: SHA-1 of "blob SIZE", a zero byte and the content. Git's way of naming, no
// protection against somebody who makes collisions.

#include <filesystem>
#include <string>

#include "core/result.h"

namespace secondsource {

/// 40 lower-case hexadecimal digits, as `git hash-object FILE` prints them. Errors: kInvalidInput, kIo.
[[nodiscard]] Result<std::string> git_blob_hash_of_file(const std::filesystem::path& path);

}  // namespace secondsource
