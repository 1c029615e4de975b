#pragma once
// The gate on two stored runs: one verdict a cell and metric, by the rule of rule.h, or a refusal where the two must
// not be compared.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "gate/rule.h"
#include "gate/waiver.h"
#include "report/record_json.h"
#include "report/records.h"

namespace secondsource {

struct GateOptions {
  GateRule rule;
  std::vector<Waiver> waivers;
  std::string today;              ///< YYYY-MM-DD
  bool allow_unverified = false;  ///< also judge bundles without independent expected outputs
};

/// One cell and metric.
struct GateVerdict {
  CellKey cell;
  std::string metric;  ///< "cost" ($/1K output tokens; without prices its reciprocal rate) or "ttft"
  Decision decision = Decision::kInconclusive;
  std::optional<Shift> shift;  ///< of the logarithm; empty when there were too few repetitions
  bool improved = false;
  std::string waived_by;                  ///< id of the waiver that covers a regression
  std::string why;                        ///< one sentence
  std::optional<double> base, candidate;  ///< medians over repetitions: seconds per output token, or TTFT in seconds

  [[nodiscard]] std::optional<double> change_percent() const;
};

struct GateReport {
  std::string base_run_id, candidate_run_id;
  GateRule rule;
  std::vector<GateVerdict> verdicts;
  std::vector<std::string> wrong_tokens;    ///< cells of the candidate whose golden check failed
  std::vector<std::string> failed;          ///< cells that the base has and the candidate could not measure
  std::vector<std::string> not_comparable;  ///< cells, or the whole runs, with the reason
  std::vector<std::string> waiver_errors;   ///< expired while needed, exceeded, unmatched

  [[nodiscard]] std::int64_t count(Decision decision) const;
  [[nodiscard]] std::int64_t count_waived() const;
};

/// A run with its summary.
struct SummarizedRun {
  RunRecord record;
  RunSummary summary;
};

/// Reads and summarizes a run directory.
Result<SummarizedRun> read_summarized_run(const std::filesystem::path& folder);

[[nodiscard]] GateReport compare_runs(const SummarizedRun& base, const SummarizedRun& candidate,
                                      const GateOptions& options);

}  // namespace secondsource
