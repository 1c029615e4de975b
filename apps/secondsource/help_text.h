#pragma once

#include <string>

#include "command_description.h"

namespace secondsource {

/// The help of a command. No line is longer than 80 columns, unless a single word is; an example that takes several lines
/// has a backslash at the end of each, so that it can be pasted.
std::string help_text(const CommandDescription& command);

/// "secondsource run [OPTIONS] [bundle...]".
std::string usage_of(const CommandDescription& command);

/// What the help says of a flag: its description with its range, its values and its default.
std::string full_description(const FlagDescription& flag);

}  // namespace secondsource
