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
  std::string waived_by{};                     ///< id of the waiver that covers a regression
  std::string why{};                           ///< one sentence
  std::optional<std::int64_t> n_pairs{};       ///< interleaved: pairs that the verdict rests on
  std::optional<std::int64_t> n_more_pairs{};  ///< interleaved and inconclusive: how many more would have told
};

/// Where the time went that a regressed cell lost: the calls of one kind and shape, or all that is not in any.
struct LossShare {
  CellKey cell{};
  std::string metric{};
  std::string operation{};  ///< op_name(), or kOtherThanOperations
  std::string shape{};      ///< "tokens 1, 1024 -> 3072"; empty for kOtherThanOperations
  std::string kernel{};     ///< as the candidate's backend names it
  std::string source{};     ///< the kernel's file, relative to the repository; empty: unknown
  std::int32_t source_line = 1;
  double base_s = 0;  ///< per request
  double candidate_s = 0;
  double share = 0;  ///< of the cell's loss per request; those of a cell add up to 1
};
inline constexpr const char* kOtherThanOperations = "host/scheduler/other";

struct GateReport {
  std::string base_run_id, candidate_run_id;
  std::string method = "stored runs";  ///< or "interleaved pairs"
  double threshold_percent = 0;
  std::vector<GateVerdict> verdicts;
  std::vector<std::string> wrong_tokens;    ///< cells of the candidate whose golden check failed
  std::vector<std::string> failed;          ///< cells that the base has and the candidate could not measure
  std::vector<std::string> not_comparable;  ///< cells, or the whole runs, with the reason
  std::vector<std::string> waiver_errors;   ///< expired, exceeded, unmatched, duplicate
  std::vector<LossShare> losses;            ///< of regressed cells, the largest share of each first

  /// Verdicts of this decision that no waiver covers.
  [[nodiscard]] std::int64_t count(Decision decision) const;
  [[nodiscard]] std::int64_t count_waived() const;
};

}  // namespace secondsource
