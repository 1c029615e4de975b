#pragma once
// The subcommands, one declaration a file.

#include "command.h"

namespace secondsource {

// Each adds its subcommand to `app` and, when that subcommand is the one parsed, stores its work in `action`.

}  // namespace secondsource
