#pragma once
// A child process that exchanges lines of text over pipes, runs under CPU and memory limits, and is killed when its
// parent dies. Every wait has an end, even if the child never answers and never ends. Linux only.

#include <sys/types.h>

#include <cstddef>
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

struct ChildLimits {
  std::vector<std::int32_t> cpus;  ///< set by sched_setaffinity before exec; empty: inherited from the parent
  /// RLIMIT_DATA, which limits private writable memory and so excludes files mapped read-only (weights). 0: no limit.
  std::int64_t memory_max_bytes = 0;
};

/// Errors: kInvalidInput for a CPU that this process may not use, so that no child of it may; kIo.
Result<void> check_cpus(const std::vector<std::int32_t>& cpus);

struct ChildCommand {
  std::filesystem::path program;
  std::vector<std::string> arguments;                            ///< without the program name
  std::vector<std::pair<std::string, std::string>> environment;  ///< added to the environment of this process
  ChildLimits limits;
  std::filesystem::path stderr_file;          ///< opened for appending; empty: the stderr of this process
  bool stdout_to_stderr = false;              ///< both go to the same place, and receive() has no lines
  std::size_t longest_line_bytes = SIZE_MAX;  ///< receive() refuses a longer one
};

/// How a child ended.
struct ChildExit {
  std::optional<int> status;  ///< the status passed to exit()
  std::optional<int> signal;  ///< the signal that ended the child; a child that SIGKILL does not end has neither
  bool killed_by_us = false;  ///< kill() was called, because of a hang or an interrupt
  std::int64_t peak_rss_bytes = 0;
  /// "exit status 3", "signal 11 (Segmentation fault)"
  [[nodiscard]] std::string text() const;
};

class ChildProcess {
 public:
  /// Errors: kIo when the child cannot be started; kInvalidInput for CPUs that this process may not use.
  static Result<ChildProcess> start(const ChildCommand& command);
  ~ChildProcess();  ///< kills the child if it still runs
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;

  /// Sends the line and a newline without waiting: what the pipe does not take now, receive() writes later. Errors:
  /// kDeviceLost when the child has closed its end.
  Result<void> send(std::string_view line);
  /// The next whole line; nullopt if `until_ns` passes first (precise to a microsecond) or a signal arrives. Errors:
  /// kDeviceLost when the child has closed its end; kInvalidInput for a line that is too long.
  Result<std::optional<std::string>> receive(std::int64_t until_ns);
  /// How the child ended; nullopt if it has not by `until_ns`, or if a signal arrived.
  std::optional<ChildExit> wait(std::int64_t until_ns);
  /// Sends SIGTERM to the child and to every process of its group.
  void terminate() const;
  /// Sends SIGKILL to what is left of its group. Call it right after
  /// the child's end: later the group's id may be reused.
  void kill_group() const;
  /// Sends SIGKILL to the child and to every process of its group, and waits a few seconds for its end.
  ChildExit kill();
  /// The process group of the child and of the processes that it starts.
  [[nodiscard]] pid_t group() const noexcept { return pid_; }

 private:
  ChildProcess() = default;
  Result<void> write_unsent();

  pid_t pid_ = -1;
  FileDescriptor to_child_;
  FileDescriptor from_child_;
  std::string unsent_;
  std::string received_;
  std::size_t longest_line_bytes_ = SIZE_MAX;
  bool killed_by_us_ = false;
  std::optional<ChildExit> exit_;
};

}  // namespace secondsource
