#pragma once
// Runs a short command and keeps what it prints.

#include <cstdint>
#include <string>
#include <vector>

#include "core/child_process.h"
#include "core/result.h"

namespace secondsource {

struct CommandOutput {
  ChildExit exit;
  std::string out;  ///< its lines without the last newline
};

/// Runs a program of PATH to its end and drops its stderr. Errors: kIo when it cannot be started; kDeadline when it
/// has not ended in time, and was killed.
Result<CommandOutput> run_command(const std::vector<std::string>& words, std::int64_t deadline_ns,
                                  const std::vector<std::pair<std::string, std::string>>& environment = {});

/// The command line of a program found in PATH.
[[nodiscard]] ChildCommand command_of(const std::vector<std::string>& words);

}  // namespace secondsource
