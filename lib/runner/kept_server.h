#pragma once
// Starts a server and keeps it up until its user no longer needs it: for `secondsource up`, which `ab` uses as well.

#include <filesystem>
#include <functional>
#include <string>

#include "core/interrupt.h"
#include "core/result.h"
#include "runner/managed_server.h"

namespace secondsource {

struct KeptServer {
  std::filesystem::path log;  ///< what the server writes is appended to it
  ChildLimits limits;
  int input = 0;                                              ///< a file descriptor: its end ends the server
  std::function<Result<void>(const std::string& url)> ready;  ///< called once, when the server is healthy
};

/// Starts the server, waits until it is healthy, and stops it when `input` has ended or the user interrupts. Returns a
/// description if the server ended in an unusual way; otherwise empty. Errors: kUnavailable when its image cannot be
/// run, when it does not become healthy, or when it ends by itself; those of `ready`; kInterrupted while it starts;
/// kIo.
Result<std::string> keep_server_up(ServerPlan plan, const KeptServer& kept, const InterruptFlag& interrupt);

}  // namespace secondsource
