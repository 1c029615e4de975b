#pragma once
// Runs over time, in one SQLite file: what each run measured of every cell, in a few numbers. Several processes may add
// to it at once; what was added is on the disk. docs/ci.md shows how a nightly job uses it.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "history/database.h"
#include "history/metric.h"
#include "report/stored_run.h"

namespace secondsource {

/// $XDG_DATA_HOME/secondsource/history.db, or ~/.local/share/secondsource/history.db. Errors: kInvalidInput when
/// neither variable is set.
Result<std::filesystem::path> default_history_path();

/// What a history knows of a run as a whole.
struct HistoryRun {
  std::string run_id{};
  std::string started_utc{};
  std::string branch{};
  std::string commit{};
  std::string label{};
  std::string program_version{};
  std::string machine{};  ///< "AMD EPYC, 2 CPUs"
  bool pinned = false;    ///< part of the anchor: never pruned
  std::int64_t n_cells = 0;
  std::int64_t n_counted = 0;     ///< cells whose figures count: right or unverified tokens, a valid measurement
  std::int64_t n_unverified = 0;  ///< of those
  std::int64_t n_wrong = 0;       ///< cells with wrong tokens
};

struct AddToHistory {
  std::string branch{};
  std::string commit{};  ///< empty: that of the program which ran
  std::string label{};
};

/// A cell's value in one run.
struct HistoryPoint {
  std::string run_id{};
  std::string started_utc{};
  std::string commit{};
  bool pinned = false;
  double value = 0;  ///< in the metric's unit
};

/// The runs of one cell that may be compared with its newest one: same hardware, bundle, options, lengths and method.
/// Kernel and driver versions may differ, so that a history shows what they changed.
struct CellHistory {
  std::string cell{};  ///< CellKey::id()
  std::string setup{};
  std::vector<HistoryPoint> points{};  ///< oldest first
  std::int64_t n_other_setups = 0;     ///< runs of the cell that are left out for a different setup
  std::int64_t n_not_counted = 0;      ///< and for wrong tokens, an invalid measurement, a planted fault, no value
};

struct PruneRule {
  std::optional<std::string> branch{};        ///< empty: each
  std::optional<std::int64_t> keep_newest{};  ///< so many a branch
  std::optional<std::string> not_before{};    ///< an UTC timestamp: what is older goes
};

class History {
 public:
  /// Opens a history; makes an empty one where there is none and `create` says so. Errors: kInvalidInput for a file
  /// that is damaged, foreign, of another version or absent; kIo.
  static Result<History> open(const std::filesystem::path& path, bool create);

  /// Adds a run, or what a resumed one has more than before. False when the run was there already.
  Result<bool> add(const SummarizedRun& run, const AddToHistory& how);
  /// Newest first; `limit` 0: all.
  Result<std::vector<HistoryRun>> runs(const std::optional<std::string>& branch, std::int64_t limit);
  /// Ids of the cells of the newest run of the branch.
  Result<std::vector<std::string>> newest_cells(const std::string& branch);
  /// Errors: kInvalidInput when the branch has no such cell.
  Result<CellHistory> cell(const std::string& branch, const std::string& cell, const HistoryMetric& metric);
  /// Ids of the runs that the rule takes out; they are gone unless `dry_run`. Pinned ones stay.
  Result<std::vector<std::string>> prune(const PruneRule& rule, bool dry_run);
  /// Makes a run part of the anchor, or takes it out again. `run_id` may be cut as long as it means one run. Errors:
  /// kInvalidInput when it means none or several.
  Result<HistoryRun> pin(const std::string& run_id, bool pinned);

 private:
  explicit History(Database database) : database_(std::move(database)) {}
  Result<std::int64_t> setup_id(const std::string& setup);
  Result<void> add_cells(const SummarizedRun& run, std::int64_t row);

  Database database_;
};

/// An array of runs, as `history list --json` prints it; reports/schemas/history.schema.json.
[[nodiscard]] std::string to_json(const std::vector<HistoryRun>& runs);
[[nodiscard]] std::string history_schema();

}  // namespace secondsource
