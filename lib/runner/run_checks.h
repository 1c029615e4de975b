#pragma once
// The checks of a repetition that the parent process makes because the worker that measured it cannot (docs/checks.md):
// that the result stays within the machine's limits, that the harness costs little, and that bundle and module are
// still the same files.

#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/result.h"
#include "record/run_settings.h"
#include "runner/input_watch.h"
#include "runner/run_directory.h"

namespace secondsource {

class RunChecks {
 public:
  /// `inputs` are the files and folders that must not change. `run` must outlive this object.
  RunChecks(RunDirectory& run, RunSettings settings, std::vector<std::filesystem::path> inputs);

  /// Adds the checks "machine", "roofline", "harness" and "inputs" to a repetition with `n_requests` requests, and adds
  /// to its telemetry the rates that the machine reached right after it. A limit that the repetition seems to exceed is
  /// measured again first, because other load may have lowered the first measurement. Errors: kIo, kOutOfMemory.
  Result<void> add_to(Repetition& repetition, std::int64_t n_requests);

 private:
  [[nodiscard]] bool is_on_host(const Repetition& repetition) const;
  Result<void> look_at_machine(Repetition& repetition);
  Result<CheckRecord> roofline_of(const Repetition& repetition);
  RunDirectory& run_;
  RunSettings settings_;
  InputWatch watch_;
};

}  // namespace secondsource
