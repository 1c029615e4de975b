#pragma once
// The result of a gate as plain data. lib/gate, lib/ab and lib/history fill it; lib/report renders it.

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/enum_names.h"
#include "core/fields.h"
#include "core/result.h"
#include "record/scenario.h"
#include "record/schema_text.h"

namespace secondsource {

enum class Decision : std::uint8_t { kPass, kRegressed, kInconclusive };
SS_ENUM_NAMES(Decision, "pass", "regressed", "inconclusive")

/// The kind of comparison behind a gate's verdicts.
enum class GateMethod : std::uint8_t { kStoredRuns, kInterleavedPairs, kPinnedAnchor };
SS_ENUM_NAMES(GateMethod, "stored runs", "interleaved pairs", "newest runs against the pinned anchor")
SS_SCHEMA_SAYS_STRING(GateMethod)

/// The verdict on one cell and metric.
struct GateVerdict {
  CellKey cell{};
  std::string
      metric{};  ///< "cost" (seconds per output token, since the price in $/1K cancels), "ttft", "ttft_later" or "tpot"
  Decision decision = Decision::kInconclusive;
  std::optional<double> base_s{}, candidate_s{};        ///< medians over repetitions, in seconds
  std::optional<double> change_percent{};               ///< positive: worse
  std::optional<double> low_percent{}, high_percent{};  ///< 95 % interval of the change; empty with too few pairs
  bool improved = false;
  std::string waived_by{};                     ///< id of the waiver that covers a regression
  std::string why{};                           ///< the reason, in one sentence
  std::optional<std::int64_t> n_pairs{};       ///< interleaved: number of pairs behind the verdict
  std::optional<std::int64_t> n_more_pairs{};  ///< interleaved and inconclusive: further pairs needed for a verdict
  bool decides = true;                         ///< false: of an opportunistic variant, whatever the decision

  /// The ends of the interval, which are infinite where there is none.
  [[nodiscard]] double low() const { return low_percent.value_or(-std::numeric_limits<double>::infinity()); }
  [[nodiscard]] double high() const { return high_percent.value_or(std::numeric_limits<double>::infinity()); }
};
SS_FIELDS(GateVerdict, cell, metric, decision, base_s, candidate_s, change_percent, low_percent, high_percent, improved,
          waived_by, why, n_pairs, n_more_pairs, decides)
SS_ADDED_FIELDS(GateVerdict, decides)

inline constexpr const char* kOtherThanOperations = "host/scheduler/other";
inline constexpr const char* kNotResolved = "not resolved";

/// A share of the time that a regressed cell lost: all calls of one operation and shape, everything outside of the
/// operations, or what the profiles cannot tell from noise.
struct LossShare {
  CellKey cell{};
  std::string metric{};
  std::string operation{};  ///< op_name(), kOtherThanOperations or kNotResolved
  std::string shape{};      ///< "tokens 1, 1024 -> 3072"; empty if `operation` is none
  std::string kernel{};     ///< the name that the candidate's backend gives it
  std::string source{};     ///< the kernel's file, relative to the repository; empty: unknown
  std::int32_t source_line = 1;
  double base_s = 0;  ///< seconds per request
  double candidate_s = 0;
  double share = 0;  ///< of the cell's loss per request, 0 to 1; the shares of a cell add up to 1

  [[nodiscard]] bool is_of_operation() const { return operation != kOtherThanOperations && operation != kNotResolved; }
};
SS_FIELDS(LossShare, cell, metric, operation, shape, kernel, source, source_line, base_s, candidate_s, share)

struct GateReport {
  std::string base_run_id, candidate_run_id;
  GateMethod method = GateMethod::kStoredRuns;
  double threshold_percent = 0;
  std::vector<GateVerdict> verdicts;
  std::vector<std::string> wrong_tokens;    ///< cells of the candidate whose golden check failed
  std::vector<std::string> failed;          ///< cells that the candidate could not measure
  std::vector<std::string> not_comparable;  ///< cells or whole runs, each with the reason
  std::vector<std::string> waiver_errors;   ///< one per expired, exceeded, unmatched or duplicate waiver
  std::vector<std::string> waiver_notes;    ///< one per waiver whose backend has no verdict
  std::vector<LossShare> losses;            ///< of regressed cells, the largest share of each cell first
  /// Findings about opportunistic variants that would fail the gate if the variants were blessed.
  std::vector<std::string> without_effect{};
  /// What was compared, where and when: one line for programs and commits, runs, host and date.
  std::vector<std::string> compared{};
  /// Cells without a verdict that fail nothing, each with the reason: new in the candidate, or declined by a backend.
  std::vector<std::string> not_judged{};
  /// Why some or all was not timed: the machine was too busy, or the time was used up. Empty if all was.
  std::string cannot_decide{};

  /// The list for a finding: `findings` if it may fail the gate, otherwise `without_effect`.
  [[nodiscard]] std::vector<std::string>& list_for(std::vector<std::string>& findings, bool decides) {
    return decides ? findings : without_effect;
  }
  /// Number of verdicts with this decision that decide and that no waiver covers.
  [[nodiscard]] std::int64_t count(Decision decision) const;
  [[nodiscard]] std::int64_t count_waived() const;
};
SS_FIELDS(GateReport, base_run_id, candidate_run_id, method, threshold_percent, verdicts, wrong_tokens, failed,
          not_comparable, waiver_errors, waiver_notes, losses, without_effect, compared, not_judged, cannot_decide)
SS_ADDED_FIELDS(GateReport, waiver_notes, without_effect, compared, not_judged, cannot_decide)

[[nodiscard]] std::string to_json(const GateReport& gate);
/// Errors: kInvalidInput.
Result<GateReport> gate_report_from_json(std::string_view text, std::string_view name);
/// JSON Schema of the output of to_json().
[[nodiscard]] std::string gate_schema();

}  // namespace secondsource
