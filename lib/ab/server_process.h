#pragma once
// A server of one side, kept up beside the processes that measure it. `secondsource up` starts and watches it, in a process
// of its own, so that the server ends even if this program is killed.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "core/child_process.h"
#include "core/interrupt.h"
#include "core/result.h"

namespace secondsource {

struct ServerCall {
  std::filesystem::path program;  ///< this program
  std::filesystem::path plan;     ///< of the system alone
  std::filesystem::path bundle;
  std::filesystem::path log;          ///< what the server writes
  std::filesystem::path stderr_file;  ///< what `up` says
};

class ServerProcess {
 public:
  /// Starts the server and waits until it is healthy. Errors: kUnavailable when it does not become so, with the reason;
  /// kInvalidInput for a plan that `up` refuses; kInterrupted; kIo.
  static Result<ServerProcess> start(const ServerCall& call, const InterruptFlag& interrupt);
  ServerProcess(ServerProcess&&) = default;
  ServerProcess& operator=(ServerProcess&&) = delete;
  ~ServerProcess();

  [[nodiscard]] const std::string& url() const noexcept { return url_; }
  /// From the start to the server's first healthy answer.
  [[nodiscard]] double start_s() const noexcept { return start_s_; }
  /// Why the server has ended by itself; empty while it runs. Waits for a moment, since a server closes its connections a
  /// little before it ends.
  [[nodiscard]] std::string failure();
  /// Ends the server with all that it started.
  void stop();

 private:
  ServerProcess(const ServerCall& call, ChildProcess process, const InterruptFlag& interrupt);
  [[nodiscard]] std::string said() const;

  std::filesystem::path stderr_file_;
  std::uintmax_t said_from_ = 0;
  std::unique_ptr<ChildProcess> process_;  ///< null once it was stopped or moved away
  std::optional<PausedWithUs> paused_with_us_;
  std::string url_;
  double start_s_ = 0;
};

}  // namespace secondsource
