#pragma once
// A case that the conformance suite does not have: a step runs, compiling a larger one moves the workspace, and the first
// step runs again. A graph captured before the move contains addresses of freed memory.

#include <optional>
#include <string>

#include "conformance/protocol.h"

namespace secondsource::conformance {

/// Returns nullopt if the first step gives the same bits both times, otherwise a description of the failure.
[[nodiscard]] std::optional<std::string> check_moved_workspace(const MakeBackend& make);

}  // namespace secondsource::conformance
