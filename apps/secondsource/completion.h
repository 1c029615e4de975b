#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "command_description.h"
#include "core/enum_names.h"

namespace secondsource {

enum class Shell : std::uint8_t { kBash, kZsh, kFish };
SS_ENUM_NAMES(Shell, "bash", "zsh", "fish")

/// The script that makes the shell complete commands, flags, the values of flags that have a fixed set, the names of backends
/// and of the variants that every bundle has, and file names. Other backends and variants may be typed: an installed script offers those of
/// the program that wrote it.
std::string completion_script(Shell shell, const CommandDescription& program, const std::vector<std::string>& backends);

}  // namespace secondsource
