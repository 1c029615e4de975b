#pragma once
// The checks of a repetition that the parent process makes because the worker that measured it cannot (docs/checks.md):
// that the result stays within the machine's limits, that the harness costs little, and that bundle and module are
// still the same files.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "core/result.h"
#include "host/limit_store.h"
#include "host/machine_probe.h"
#include "record/run_settings.h"
#include "runner/input_watch.h"
#include "runner/run_directory.h"

namespace secondsource {

class RunChecks {
 public:
  /// `inputs` are the files and folders that must not change. `run` must outlive this object.
  RunChecks(RunDirectory& run, RunSettings settings, std::vector<std::filesystem::path> inputs);

  /// Adds the checks "machine", "roofline", "harness" and "inputs" to a repetition with `n_requests` requests, and adds
  /// to its telemetry the rates that the machine reached within three seconds of it, which are a look at its limits as well. A limit
  /// that the repetition seems to exceed is measured again first, because other load may have lowered the earlier looks.
  /// If neighbours disturbed the repetition, they may explain why its time per token fell, so "warm_up" is then at most
  /// suspect. Errors: kIo, kOutOfMemory.
  Result<void> add_to(Repetition& repetition, std::int64_t n_requests);

 private:
  [[nodiscard]] bool is_on_host(const Repetition& repetition) const;
  Result<void> look_at_machine(Repetition& repetition);
  Result<void> add_look(const MachineLimits& look);
  Result<CheckRecord> roofline_of(const Repetition& repetition);
  RunDirectory& run_;
  RunSettings settings_;
  LimitStore limits_;
  InputWatch watch_;
  std::optional<MachineMoment> moment_;  ///< the last look at the machine
  std::int64_t looked_ns_ = 0;           ///< when it ended
};

}  // namespace secondsource
