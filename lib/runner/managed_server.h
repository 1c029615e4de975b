#pragma once
// A server that this program starts for its measurements: in a process group or a container of its own, waited for until
// it is healthy, watched, and stopped. docs/systems.md is the page for users.
//
//   SS_TRY(ServerStart started, ManagedServer::start(plan, log, limits, interrupt));
//   if (started.failure) ...                  // it crashed, or was not healthy in time; it is gone
//   ... started.server->failure(0) ...        // has it ended meanwhile, and why?
//   const std::string said = started.server->stop();

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bundle/bundle.h"
#include "core/child_process.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "host/child_watch.h"
#include "runner/container_command.h"
#include "runner/server_processes.h"
#include "runner/worker_failure.h"
#include "serving/endpoint.h"

namespace secondsource {

/// Everything that starting a server takes.
struct ServerPlan {
  SystemRequest request;  ///< with `managed`, and with the URL at which the server will be
  std::int32_t port = 0;  ///< for {port}: that of the URL
  std::string model;      ///< for {model}, as a process sees it
  std::vector<std::pair<std::string, std::filesystem::path>> model_files{};  ///< for a container
  std::shared_ptr<const Bundle> bundle{};                                    ///< keeps its files where they are
};

/// The request with the address at which its server will be: that of the plan, or a port that is free now. A model
/// named {model} gets the name of the folder as the server sees it. Errors: kIo, kInvalidInput.
Result<ServerPlan> plan_server(SystemRequest request, const std::filesystem::path& model_folder,
                               std::vector<std::pair<std::string, std::filesystem::path>> model_files);

class ManagedServer;

struct ServerStart {
  std::unique_ptr<ManagedServer> server;
  WorkerOutcome failure;  ///< present exactly if `server` is absent
};

class ManagedServer {
 public:
  /// Starts the server and waits until it is healthy or its deadline has passed. What it writes is appended to `log`.
  /// Errors: kInterrupted; kInvalidInput for a key that cannot be read; kIo.
  static Result<ServerStart> start(const ServerPlan& plan, const std::filesystem::path& log, const ChildLimits& limits,
                                   const InterruptFlag& interrupt);
  ~ManagedServer();
  ManagedServer(const ManagedServer&) = delete;
  ManagedServer& operator=(const ManagedServer&) = delete;

  /// Why the server has ended; empty while it runs. Waits for its end for at most `wait_ns`.
  [[nodiscard]] WorkerOutcome failure(std::int64_t wait_ns);
  /// Ends the server with all that it started. Returns what is unusual about its end; empty: it ended in order.
  std::string stop();
  /// The first process of the server, or of its container as the host sees it; 0 if the engine does not tell.
  [[nodiscard]] std::int64_t process() const;
  [[nodiscard]] bool is_container() const noexcept { return !container_.empty(); }
  /// From the start to the first answer that called it healthy.
  [[nodiscard]] std::int64_t ready_after_ns() const noexcept { return ready_after_ns_; }

 private:
  ManagedServer(const ServerPlan& plan, std::string container, std::unique_ptr<ServerProcesses> processes,
                ChildProcess process, ChildWatch watch, const InterruptFlag& interrupt);
  Result<WorkerOutcome> wait_until_healthy();
  [[nodiscard]] const ManagedStart& managed() const { return *plan_.request.managed; }
  void ask_to_end();
  bool has_ended_by(std::int64_t until_ns);

  ServerPlan plan_;
  std::string container_;                       ///< its name; empty: a process
  std::unique_ptr<ServerProcesses> processes_;  ///< null for a container, whose engine ends its processes
  ChildProcess process_;
  ChildWatch watch_;
  const InterruptFlag& interrupt_;
  std::int64_t ready_after_ns_ = 0;
  bool is_stopped_ = false;
  std::optional<PausedWithUs> paused_with_us_;
};

/// Adds what the container engine reports about itself and the image to `managed`. Returns why the image cannot be run;
/// empty if it can, and for a server without a container.
std::string look_at_image(ManagedStart& managed);

}  // namespace secondsource
