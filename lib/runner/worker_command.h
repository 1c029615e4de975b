#pragma once
// Builds the command by which this program starts itself as a worker: the hidden subcommand, the process limits, and
// the environment variables that must be set before the program starts.

#include <filesystem>

#include "core/child_process.h"
#include "record/run_settings.h"

namespace secondsource {

/// `program` is this executable. Of `settings`, threads, cpus and memory_max_bytes are used.
[[nodiscard]] ChildCommand worker_command(const std::filesystem::path& program, const RunSettings& settings,
                                          const std::filesystem::path& stderr_file);

}  // namespace secondsource
