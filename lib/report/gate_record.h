#pragma once
// What a gate decided, as plain data: lib/gate fills it, the writers here print it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/records.h"

namespace secondsource {

enum class Decision : std::uint8_t { kPass, kRegressed, kInconclusive };

/// "pass", "regressed", "inconclusive"
[[nodiscard]] std::string_view to_string(Decision decision);

/// One cell and metric.
struct GateVerdict {
  CellKey cell{};
  std::string metric{};  ///< "cost" (seconds per output token: $/1K without the price, which cancels) or "ttft"
  Decision decision = Decision::kInconclusive;
  std::optional<double> base{}, candidate{};            ///< medians over repetitions, in seconds
  std::optional<double> change_percent{};               ///< positive: worse
  std::optional<double> low_percent{}, high_percent{};  ///< its 95 % interval
  bool improved = false;
  std::string waived_by{};  ///< id of the waiver that covers a regression
  std::string why{};        ///< one sentence
};

struct GateReport {
  std::string base_run_id, candidate_run_id;
  double threshold_percent = 0;
  std::vector<GateVerdict> verdicts;
  std::vector<std::string> wrong_tokens;    ///< cells of the candidate whose golden check failed
  std::vector<std::string> failed;          ///< cells that the base has and the candidate could not measure
  std::vector<std::string> not_comparable;  ///< cells, or the whole runs, with the reason
  std::vector<std::string> waiver_errors;   ///< expired while needed, exceeded, unmatched

  /// Verdicts of this decision that no waiver covers.
  [[nodiscard]] std::int64_t count(Decision decision) const;
  [[nodiscard]] std::int64_t count_waived() const;
};

}  // namespace secondsource
