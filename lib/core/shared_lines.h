#pragma once
// Files of lines to which several processes append, such as caches of what was measured or computed before.

#include <filesystem>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// Appends a line, given without a newline, to a file that is created if it is absent, with the folders above it. It is
/// a single write() to the end of the file, so that the lines of several processes stay whole, and begins with a newline,
/// because an interrupted write may have left the previous line incomplete: readers skip lines that are empty or
/// damaged. No link is followed. Errors: kInvalidInput when no file can be there; kIo.
Result<void> append_shared_line(const std::filesystem::path& path, std::string_view line);

}  // namespace secondsource
