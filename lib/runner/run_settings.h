#pragma once
// What a run was asked for beyond its cells, as it is kept in run.json: a resumed run goes on with exactly these.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace secondsource {

struct RunSettings {
  std::int32_t threads = 0;           ///< 0: as many as CPUs that the workers may use
  std::vector<std::int32_t> cpus;     ///< affinity of the workers; empty: as this process
  std::int64_t memory_max_bytes = 0;  ///< per worker, RLIMIT_DATA; 0: no limit
  double max_time_s = 0;              ///< 0: no limit
  double step_deadline_s = 120;
  double cell_deadline_s = 1800;
  double cell_budget_s = 10;  ///< single-stream ends a cell's repetitions early past this
  std::string oracle;         ///< backend that answers where a bundle has no expected outputs; empty: none
  std::vector<std::string> named_backends;  ///< by --backend or --require: their absence is a failure
  bool strict = false;
  bool golden = true;        ///< off: times without judging tokens, which nobody may take for a verified run
  std::string trace_file;    ///< Chrome trace of every cell's operations; empty: none
  double noise_limit = 0.9;  ///< HostCheckLimits::noise_invalid
  friend bool operator==(const RunSettings&, const RunSettings&) = default;
};

[[nodiscard]] std::vector<std::pair<std::string, std::string>> to_pairs(const RunSettings& settings);
/// Errors: kInvalidInput for a key or value that to_pairs() does not write.
Result<RunSettings> run_settings_from(const std::vector<std::pair<std::string, std::string>>& pairs,
                                      std::string_view name);

/// "0,2-3" -> {0, 2, 3}. Errors: kInvalidInput.
Result<std::vector<std::int32_t>> parse_cpu_list(std::string_view text);
/// {0, 2, 3} -> "0,2,3"
[[nodiscard]] std::string format_cpu_list(const std::vector<std::int32_t>& cpus);

}  // namespace secondsource
