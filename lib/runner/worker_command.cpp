#include "runner/worker_command.h"

#include <cstdint>
#include <string>

#include "host/host_state.h"

namespace secondsource {
ChildCommand worker_command(const std::filesystem::path& program, const RunSettings& settings,
                            const std::filesystem::path& stderr_file) {
  ChildCommand command;
  command.program = program;
  command.arguments = {"worker"};
  command.limits.cpus = settings.cpus;
  command.limits.memory_max_bytes = settings.memory_max_bytes;
  command.stderr_file = stderr_file;
  const std::int32_t n_cpus = static_cast<std::int32_t>((settings.cpus.empty() ? usable_cpus() : settings.cpus).size());
  const std::int32_t n_threads = settings.threads > 0 ? settings.threads : n_cpus;
  // OpenMP reads these variables before main(), and a backend with its own OpenMP pool cannot change them later.
  // Threads spin at a barrier for a fraction of a millisecond and then sleep; the default of several milliseconds made
  // a suite take 187 s instead of 1.3 s beside other load.
  command.environment = {{"OMP_NUM_THREADS", std::to_string(n_threads)},
                         {"OMP_PROC_BIND", n_threads <= n_cpus ? "close" : "false"},
                         {"OMP_DYNAMIC", "false"},
                         {"GOMP_SPINCOUNT", "10000"}};
  return command;
}

}  // namespace secondsource
