#pragma once
// The memory of another process, and whether it may have more on a GPU, from /proc.

#include <cstdint>
#include <span>
#include <string>

#include "core/result.h"
#include "host/host_files.h"

namespace secondsource {

/// Bytes of the pages that only this process uses, and its share of those that it has in common with others (Pss of
/// smaps_rollup). The kernel locks the process's memory map while it counts. Errors: kUnavailable.
Result<std::int64_t> proportional_bytes(const HostFiles& files, std::int64_t pid);

/// The id of the process with exactly this command line. Errors: kUnavailable if there is none, or more than one.
Result<std::int64_t> find_process(const HostFiles& files, std::span<const std::string> command);

/// True if the process has mapped a GPU's device file, so that it may own memory which /proc does not count. Errors:
/// kUnavailable, also if the map is longer than what HostFiles reads and no device was found in its beginning.
Result<bool> uses_gpu(const HostFiles& files, std::int64_t pid);

}  // namespace secondsource
