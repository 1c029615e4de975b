#pragma once
// Describes the machine and its state: every fact about the host that can change a number, or the reason why it could
// not be read. Two runs are compared only if the stable part of it agrees (lib/gate decides).

#include <vector>

#include "host/host_files.h"
#include "record/records.h"

namespace secondsource {

/// Returns the facts in a fixed order: cpu_model, cpu_flags, logical_cpus, physical_cores, sockets, memory_bytes,
/// swap_bytes, page_bytes, thp_mode, numa_nodes, kernel, governor, turbo, smt, virtualization, load_1min,
/// cgroup_cpu_limit, cgroup_memory_limit_bytes, affinity_cpus, os, libc, libraries, compiler, uptime_s.
[[nodiscard]] std::vector<HostFact> host_fingerprint(const HostFiles& files);

}  // namespace secondsource
