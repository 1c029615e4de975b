#pragma once
// The settings of a run beyond its cells, as stored in run.json. A resumed run continues with exactly these settings.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace secondsource {

struct RunSettings {
  bool is_recorded = true;            ///< false: read from a run.json that records no settings
  std::int32_t threads = 0;           ///< 0 means one per CPU that the workers may use
  std::vector<std::int32_t> cpus;     ///< affinity of the workers; empty means that of this process
  std::int64_t memory_max_bytes = 0;  ///< limit per worker (RLIMIT_DATA); 0 means no limit
  double max_time_s = 0;              ///< 0 means no limit
  double step_deadline_s = 120;
  double cell_deadline_s = 1800;
  double cell_budget_s = 10;  ///< single-stream ends the repetitions of a cell early after this time
  std::string oracle;         ///< backend that provides expected outputs if a bundle has none; empty means none
  std::vector<std::string> named_backends;  ///< named by --backend or --require; their absence is a failure
  bool strict = false;
  bool golden = true;        ///< false: tokens are not judged, and the run must not be taken for a verified one
  std::string trace_file;    ///< Chrome trace of the operations of every cell; empty means none
  double noise_limit = 0.9;  ///< HostCheckLimits::noise_invalid
  /// True if no noise of the machine makes a repetition invalid (`--noise-limit 100`), as in the processes of `ab` and
  /// on shared runners. More looks at the machine's limits would measure the neighbours there, not the machine.
  [[nodiscard]] bool takes_any_noise() const { return noise_limit >= 1; }
  friend bool operator==(const RunSettings&, const RunSettings&) = default;
};

/// Returns the settings as text, ordered by their keys; nothing if none were recorded.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> to_pairs(const RunSettings& settings);
/// Sets the settings from pairs; no pairs mean that none were recorded. Errors: kInvalidInput, with a message that
/// begins with `where`, for a key or value that to_pairs() does not write.
Result<void> assign_pairs(RunSettings& settings, const std::vector<std::pair<std::string, std::string>>& pairs,
                          std::string_view where);

/// "0,2-3" -> {0, 2, 3}. Errors: kInvalidInput.
Result<std::vector<std::int32_t>> parse_cpu_list(std::string_view text);
/// {0, 2, 3} -> "0,2,3"
[[nodiscard]] std::string format_cpu_list(const std::vector<std::int32_t>& cpus);

}  // namespace secondsource
