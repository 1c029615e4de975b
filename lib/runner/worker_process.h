#pragma once
// A child process that measures one backend: started from this program, spoken to in lines over pipes, limited,
// watched, and gone when its parent is gone. Linux.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/result.h"

namespace secondsource {

struct WorkerLimits {
  std::vector<std::int32_t> cpus;  ///< sched_setaffinity before exec; empty: as the parent
  /// RLIMIT_DATA: private writable memory, which leaves files mapped read-only (weights) out. 0: no limit.
  std::int64_t memory_max_bytes = 0;
};

struct WorkerCommand {
  std::filesystem::path program;
  std::vector<std::string> arguments;                            ///< without the program's name
  std::vector<std::pair<std::string, std::string>> environment;  ///< added to this process's own
  WorkerLimits limits;
  std::filesystem::path stderr_file;  ///< appended to
};

/// How a child ended.
struct WorkerExit {
  std::optional<int> status;  ///< of exit()
  std::optional<int> signal;  ///< that killed it
  bool killed_by_us = false;  ///< by kill(): a hang or an interrupt
  std::int64_t peak_rss_bytes = 0;
  /// "exit status 3", "signal 11 (Segmentation fault)"
  [[nodiscard]] std::string text() const;
};

class WorkerProcess {
 public:
  /// Errors: kIo when it cannot be started; kInvalidInput for CPUs that this process may not use.
  static Result<WorkerProcess> start(const WorkerCommand& command);
  ~WorkerProcess();  ///< kills it when it still runs
  WorkerProcess(WorkerProcess&& other) noexcept;
  WorkerProcess& operator=(WorkerProcess&&) = delete;

  /// Writes the line and a newline. Errors: kDeviceLost when the child is gone.
  Result<void> send(std::string_view line);
  /// The next whole line; nullopt when `until_ns` passed first. Errors: kDeviceLost when the child closed its end.
  Result<std::optional<std::string>> receive(std::int64_t until_ns);
  /// SIGKILL to the child and what it started.
  void kill();
  /// Waits for its end; after it the object only remembers.
  WorkerExit wait();
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  WorkerProcess() = default;
  pid_t pid_ = -1;
  FileDescriptor to_child_;
  FileDescriptor from_child_;
  std::string buffer_;
  bool killed_by_us_ = false;
  std::optional<WorkerExit> exit_;
};

}  // namespace secondsource
