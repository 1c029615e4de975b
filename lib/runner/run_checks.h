#pragma once
// The checks of a repetition that only the run can make, not the worker that measured it: against the machine's limits,
// what the harness itself costs, and whether bundle and module are still the same files (docs/checks.md).

#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/result.h"
#include "runner/input_watch.h"
#include "runner/run_directory.h"
#include "runner/run_settings.h"

namespace secondsource {

class RunChecks {
 public:
  /// `inputs`: files and folders that must not change. `run` must outlive it.
  RunChecks(RunDirectory& run, RunSettings settings, std::vector<std::filesystem::path> inputs);

  /// Adds "machine", "roofline", "harness" and "inputs" to the checks of a repetition with so many requests, and what
  /// the machine could do right after it to its telemetry. Limits that it seems to exceed are measured again first,
  /// since other load may have hidden them. Errors: kIo, kOutOfMemory.
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
