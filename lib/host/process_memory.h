#pragma once
// The memory of one process of somebody else, from /proc.

#include <cstdint>
#include <span>
#include <string>

#include "core/result.h"
#include "host/host_files.h"

namespace secondsource {

/// Its own pages, and its share of those that other processes use too (Pss of smaps_rollup). The kernel holds the memory map
/// of the process meanwhile. Errors: kUnavailable.
Result<std::int64_t> proportional_bytes(const HostFiles& files, std::int64_t pid);

/// The process with exactly this command line. Errors: kUnavailable if there is none, or more than one.
Result<std::int64_t> find_process(const HostFiles& files, std::span<const std::string> command);

/// True if it has a device of a GPU mapped, so that memory which /proc does not show may belong to it. Errors: kUnavailable.
Result<bool> uses_gpu(const HostFiles& files, std::int64_t pid);

}  // namespace secondsource
