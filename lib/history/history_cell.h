#pragma once
// Holds one cell of one run as a history stores it, which is one row of an export to spreadsheets, notebooks and
// monitoring.

#include <optional>
#include <span>
#include <string>

#include "core/fields.h"
#include "core/tier.h"
#include "record/records.h"

namespace secondsource {

/// The figures have the names and units of `report --format csv`, and are empty unless the cell counts.
struct HistoryCell {
  std::string run_id{};
  std::string started_utc{};
  std::string branch{};
  std::string commit{};
  std::string label{};
  std::string program_version{};
  std::string machine{};
  bool pinned = false;
  std::string bundle{};
  std::string backend{};
  std::string variant{};
  std::string scenario{};
  Tier tier = Tier::kBlessed;
  GoldenVerdict golden = GoldenVerdict::kNotRun;
  CellStatus status = CellStatus::kMissing;
  /// Failed for a reason that is no failure: its backend does not support the variant, or no rate keeps its SLO. False
  /// if an earlier release added the run.
  bool declined = false;
  bool counts = false;  ///< right or unverified tokens, a valid measurement, no planted fault
  std::optional<double> output_tok_per_s{};
  std::optional<double> ttft_e2e_p50_ns{};
  std::optional<double> ttft_e2e_p95_ns{};
  std::optional<double> tpot_p50_ns{};
  std::optional<double> itl_p99_ns{};
  std::optional<double> usd_per_1k_output{};
  std::optional<double> peak_bytes{};
  /// Of conversations; also empty if an earlier release added the run.
  std::optional<double> later_turns_ttft_p50_ns{};
  std::string setup{};  ///< what must be equal for two rows to be comparable
  /// As in VariantRecord; also empty if an earlier release added the run.
  std::string outside_limits{};
};
SS_FIELDS(HistoryCell, run_id, started_utc, branch, commit, label, program_version, machine, pinned, bundle, backend,
          variant, scenario, tier, golden, status, declined, counts, output_tok_per_s, ttft_e2e_p50_ns, ttft_e2e_p95_ns,
          tpot_p50_ns, itl_p99_ns, usd_per_1k_output, peak_bytes, later_turns_ttft_p50_ns, setup, outside_limits)

/// Parses CellKey::id(), "bundle/backend/variant/scenario"; only the bundle's name may contain slashes.
[[nodiscard]] CellKey key_of_cell(const std::string& id);

/// One JSON object per line (reports/schemas/history-cell.schema.json).
[[nodiscard]] std::string to_json_lines(std::span<const HistoryCell> cells);
[[nodiscard]] std::string history_cell_schema();

}  // namespace secondsource
