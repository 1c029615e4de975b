#pragma once
// What a host backend says about its device, the CPUs of this machine.

#include <cstdint>
#include <string>

namespace secondsource {

/// The model name of the first CPU from /proc/cpuinfo; where there is none, the machine's name ("aarch64").
[[nodiscard]] std::string cpu_name();

/// CPUs that this process may run on, at least 1.
[[nodiscard]] int n_usable_cpus();

/// Physical memory of the machine.
[[nodiscard]] std::int64_t machine_memory_bytes();

}  // namespace secondsource
