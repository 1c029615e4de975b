#pragma once
// How this program starts itself as a worker: the hidden subcommand, its limits, and what has to be in its environment
// before its first instruction.

#include <filesystem>

#include "runner/run_settings.h"
#include "runner/worker_process.h"

namespace secondsource {

/// `program`: this executable. Of the settings it takes threads, cpus and memory_max_bytes.
[[nodiscard]] WorkerCommand worker_command(const std::filesystem::path& program, const RunSettings& settings,
                                           const std::filesystem::path& stderr_file);

}  // namespace secondsource
