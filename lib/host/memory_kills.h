#pragma once
// Whether the kernel ended a process for want of memory. A SIGKILL alone does not tell: anybody may have sent it.

#include <cstdint>
#include <optional>
#include <string>

#include "host/host_files.h"

namespace secondsource {

/// How many processes the kernel has ended for want of memory: of this process's control group if it counts them
/// (memory.events, in version 1 memory.oom_control), otherwise of the machine (/proc/vmstat). nullopt if neither counts.
[[nodiscard]] std::optional<std::int64_t> count_memory_kills(const HostFiles& files);

/// The smaller one of the group's memory limit and the machine's memory; nullopt if neither is known.
[[nodiscard]] std::optional<std::int64_t> memory_limit_bytes(const HostFiles& files);

/// The evidence that a process which ended with SIGKILL ran out of memory, as a clause for a message: the kernel's counter
/// rose ("the kernel counted 1 process killed for want of memory meanwhile"), or the process's peak was close to the
/// limit. Empty if there is none.
[[nodiscard]] std::string sign_of_memory_kill(std::optional<std::int64_t> n_before, std::optional<std::int64_t> n_after,
                                              std::int64_t peak_bytes, std::optional<std::int64_t> limit_bytes);

}  // namespace secondsource
