#pragma once
// What the conformance suite has no case for: a step that ran, a second one that makes the workspace move, and the
// first one again. A graph that was captured before the move has addresses of what is no longer there.

#include <optional>
#include <string>

#include "conformance/protocol.h"

namespace secondsource::conformance {

/// Nothing when the first step gives the same bits as before; else what went wrong.
[[nodiscard]] std::optional<std::string> check_moved_workspace(const MakeBackend& make);

}  // namespace secondsource::conformance
