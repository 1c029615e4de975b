#pragma once
// Trees of /proc and /sys with the content that real machines have, for readers that take a root folder.

#include <filesystem>
#include <fstream>
#include <string>

#include "host/host_files.h"
#include "support/scratch_folder.h"

namespace secondsource::test {

class HostTree {
 public:
  void write(const std::string& file, const std::string& content) const {
    const std::filesystem::path path = folder_.path() / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << content;
  }
  [[nodiscard]] HostFiles files() const { return HostFiles(folder_.path()); }

 private:
  ScratchFolder folder_;
};

/// Two CPUs of a server on Linux 6.1 whose counters do not change, so that nothing disturbs a measurement.
inline void write_quiet_host(const HostTree& tree) {
  tree.write("proc/stat",
             "cpu  1000 0 500 8000 10 0 5 20 0 0\ncpu0 500 0 250 4000 5 0 3 10 0 0\ncpu1 500 0 250 4000 5 0 2 10 0 0\n"
             "intr 1\nctxt 5\n");
  tree.write("proc/vmstat", "nr_free_pages 1000\npswpin 7\npswpout 9\npgmajfault 8030\n");
  tree.write("proc/self/status", "Name:\tsecondsource\nVmHWM:\t  100 kB\nVmRSS:\t   90 kB\nVmSwap:\t    0 kB\n");
  tree.write("proc/self/stat", "42 (a (worker) x) R 1 42 42 0 -1 4194304 900 0 3 0 10 5 0 0 20 0 2 0 100 1000 90\n");
  tree.write("proc/self/task/42/schedstat", "2000000000 1000000 50\n");
  tree.write("proc/self/task/43/schedstat", "1000000000 1000000 50\n");
  tree.write("proc/self/cgroup", "0::/run.scope\n");
  tree.write("sys/fs/cgroup/run.scope/cpu.stat", "usage_usec 100\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n");
  for (const char* cpu : {"cpu0", "cpu1"}) {
    const std::string base = std::string("sys/devices/system/cpu/") + cpu;
    tree.write(base + "/thermal_throttle/core_throttle_count", "3\n");
    tree.write(base + "/thermal_throttle/package_throttle_count", "4\n");
    tree.write(base + "/cpufreq/scaling_governor", "performance\n");
    tree.write(base + "/cpufreq/scaling_min_freq", "800000\n");
    tree.write(base + "/cpufreq/scaling_max_freq", "3600000\n");
    tree.write(base + "/cpufreq/scaling_cur_freq", "3600000\n");
  }
  tree.write("sys/devices/system/cpu/cpufreq/boost", "1\n");
}

}  // namespace secondsource::test
