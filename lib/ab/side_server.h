#pragma once
// The server of one side of a comparison: started when a process needs it, started anew when it has served its pairs.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "ab/ab_directory.h"
#include "ab/server_process.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

class SideServer {
 public:
  /// Serves the arm `arm` of the comparison in `directory`; an arm of another kind needs no server.
  SideServer(const AbDirectory& directory, Arm arm);

  /// True for a side whose server is started for the comparison.
  [[nodiscard]] bool is_started_by_us() const { return arm().kind == ArmKind::kServer; }
  [[nodiscard]] bool is_up() const { return process_.has_value(); }
  /// Starts the server. Returns why it did not come up; empty if it did. Errors: kInvalidInput, kInterrupted, kIo.
  Result<std::string> start(Progress& progress, const InterruptFlag& interrupt);
  void stop() { process_.reset(); }
  /// Why the server has ended by itself; empty if it runs or was not started by this comparison.
  [[nodiscard]] std::string failure();

  /// The plan for a process that measures this side. While the server is up, it is the plan with the server's address.
  [[nodiscard]] std::filesystem::path plan() const;
  /// The number of the start, counted from 0 over all sessions of the comparison; empty without a server.
  [[nodiscard]] std::optional<std::int64_t> start_number() const;
  /// The seconds that the last start took, once; 0 after that.
  [[nodiscard]] double take_start_s();

 private:
  [[nodiscard]] const ArmRecord& arm() const { return directory_.record().arm(name_); }
  Result<void> write_plan_of_kept();

  const AbDirectory& directory_;
  Arm name_;
  std::optional<ServerProcess> process_;
  std::int64_t n_starts_ = 0;
  double start_s_ = 0;
};

}  // namespace secondsource
