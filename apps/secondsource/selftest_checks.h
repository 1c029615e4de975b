#pragma once
// secondsource selftest checks: how often do the checks of a measurement give an alarm although it is right, and how often
// do they find what they exist for?

#include "command.h"

namespace secondsource {

/// Adds the subcommand to `selftest`. If it is parsed, its work is stored in `action`.
void add_selftest_checks(CommandNode& selftest, CommandAction& action);

}  // namespace secondsource
