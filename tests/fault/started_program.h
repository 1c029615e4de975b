#pragma once
// The program started and left alone, so that a test can do something to it while it works.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace secondsource::test {

class StartedProgram {
 public:
  /// Runs the built program with stdout and stderr in files under `folder`. file_size_limit_bytes: RLIMIT_FSIZE; 0:
  /// none.
  StartedProgram(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
                 std::int64_t file_size_limit_bytes = 0);
  ~StartedProgram();
  StartedProgram(const StartedProgram&) = delete;
  StartedProgram& operator=(const StartedProgram&) = delete;

  void send_signal(int signal) const;
  /// Has it ended within this time?
  bool wait_for(std::int64_t milliseconds);
  /// Exit status, or 128 + signal; waits.
  int status();
  [[nodiscard]] std::string out() const;
  [[nodiscard]] std::string err() const;
  /// Processes whose parent it is, now.
  [[nodiscard]] std::vector<pid_t> children() const;

 private:
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = -1;
  std::filesystem::path out_;
  std::filesystem::path err_;
};

/// Is there such a process, and is it no zombie?
bool is_running(pid_t pid);

}  // namespace secondsource::test
