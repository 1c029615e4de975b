#pragma once
// Facts about the device of a host backend, the CPUs of this machine.

#include <cstdint>
#include <string>

namespace secondsource {

/// The model name of the first CPU in /proc/cpuinfo; if there is none, the name of the architecture ("aarch64").
[[nodiscard]] std::string cpu_name();

/// Number of CPUs that this process may use, at least 1.
[[nodiscard]] int n_usable_cpus();

/// Physical memory of the machine.
[[nodiscard]] std::int64_t machine_memory_bytes();

}  // namespace secondsource
