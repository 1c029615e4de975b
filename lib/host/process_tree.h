#pragma once
// Memory and CPU of a process with all its descendants, such as a server that this program has started, from /proc; and
// of the control group of a container. The processes that belong to it are looked up at both ends of a repetition; in
// between, only those already known are read.

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "host/host_files.h"
#include "host/telemetry.h"

namespace secondsource {

/// What /proc/PID/stat says of one process.
struct ProcessStat {
  std::int64_t pid = 0;
  std::string name;
  bool is_ended = false;  ///< its parent has not waited for it yet
  std::int64_t parent = 0;
  std::int64_t session = 0;
  std::int64_t started_ticks = 0;  ///< since the machine started; with the id it is unique
  std::int64_t cpu_ticks = 0;      ///< its own and that of children that ended and were waited for
  std::int64_t resident_pages = 0;
};

/// Errors: kUnavailable if the process is gone, or its line is not of this format.
Result<ProcessStat> read_process_stat(const HostFiles& files, std::int64_t pid);

/// All processes that can be read.
[[nodiscard]] std::vector<ProcessStat> all_processes(const HostFiles& files);

/// The process and its descendants, those that are alive; empty if it is gone.
[[nodiscard]] std::vector<std::int64_t> process_tree(const HostFiles& files, std::int64_t root);

class ProcessTreeTelemetry final : public TelemetrySource {
 public:
  /// `root` is the first process of the server. With `is_container` its control group is read as well.
  ProcessTreeTelemetry(HostFiles files, std::int64_t root, bool is_container);

  /// Readings: server_processes, server_cpus_busy (number of CPUs that it kept busy), server_rss_bytes and its largest
  /// value (what processes share counts for each of them), server_pss_bytes (shared once; read at the ends of a repetition
  /// only, since the kernel holds the server's memory map for it), container_memory_bytes and container_cpus_busy.
  std::vector<TelemetryReading> read() override;
  void refresh() override;

 private:
  void add_memory_and_cpu(std::vector<TelemetryReading>& readings, double elapsed_s);
  void add_container(std::vector<TelemetryReading>& readings, double elapsed_s);
  [[nodiscard]] TelemetryReading proportional_memory() const;
  [[nodiscard]] Result<std::string> group_file(const char* name) const;

  HostFiles files_;
  std::int64_t root_;
  bool is_container_;
  std::vector<std::int64_t> processes_;
  std::int64_t last_ns_ = 0;
  std::optional<std::int64_t> last_ticks_;
  std::optional<std::int64_t> last_group_us_;
  std::optional<TelemetryReading> fresh_pss_;  ///< of the last refresh(), for the next read()
  std::mutex mutex_;                           ///< refresh() and read() are called by different threads
};

}  // namespace secondsource
