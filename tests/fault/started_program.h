#pragma once
// The program running in the background, so that a test can disturb it while it works.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace secondsource::test {

class StartedProgram {
 public:
  /// Runs the built program with stdout and stderr in files under `folder`. `file_size_limit_bytes` sets RLIMIT_FSIZE;
  /// 0 means no limit.
  StartedProgram(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
                 std::int64_t file_size_limit_bytes = 0);
  ~StartedProgram();
  StartedProgram(const StartedProgram&) = delete;
  StartedProgram& operator=(const StartedProgram&) = delete;

  void send_signal(int signal) const;
  /// Waits for at most this time; returns true if the program has ended.
  bool wait_for(std::int64_t milliseconds);
  /// Waits for the end and returns the exit status, or 128 + signal.
  int status();
  [[nodiscard]] std::string out() const;
  [[nodiscard]] std::string err() const;
  /// The current child processes of the program.
  [[nodiscard]] std::vector<pid_t> children() const;
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = -1;
  std::filesystem::path out_;
  std::filesystem::path err_;
};

/// The state in /proc/PID/stat: R, S, T (stopped), Z, ...; '-' if there is no such process.
char state_of(pid_t pid);
/// True if the process exists and is not a zombie.
bool is_running(pid_t pid);

}  // namespace secondsource::test
