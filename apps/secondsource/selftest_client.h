#pragma once
// secondsource selftest client: what does the client of servers cost, and how far are its times off, at 1 to 10 000
// concurrent streams?

#include "command.h"

namespace secondsource {

/// Adds the subcommand to `selftest`. If it is parsed, its work is stored in `action`.
void add_selftest_client(CommandNode& selftest, CommandAction& action);

}  // namespace secondsource
