#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "command_description.h"
#include "core/result.h"

namespace secondsource {

/// A command's manual page of section 1, in the man(7) macros. `version` stands at its foot.
std::string manual_page(const CommandDescription& command, std::string_view version);

/// Writes the pages of a program and of all its commands into a folder: secondsource.1, secondsource-bundle-create.1, ...
/// Errors: kIo.
Result<void> write_manual_pages(const CommandDescription& program, std::string_view version,
                                const std::filesystem::path& folder);

}  // namespace secondsource
