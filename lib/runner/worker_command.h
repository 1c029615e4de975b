#pragma once
// How this program starts itself as a worker: the hidden subcommand, its limits, and what has to be in its environment
// before its first instruction.

#include <filesystem>
#include <string_view>

#include "runner/run_settings.h"
#include "runner/worker_process.h"

namespace secondsource {

/// Options of a backend whose key begins so are for its worker's environment: "env:CUDA_VISIBLE_DEVICES".
inline constexpr std::string_view kEnvironmentOption = "env:";

/// `program`: this executable. Of the settings it takes threads, cpus and memory_max_bytes.
[[nodiscard]] WorkerCommand worker_command(const std::filesystem::path& program, const RunSettings& settings,
                                           const std::filesystem::path& stderr_file);

}  // namespace secondsource
