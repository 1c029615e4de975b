#pragma once
// Stores runs over time in one SQLite file: a few numbers for each cell of each run. Several processes may add runs at
// the same time, and an added run is on the disk when add() returns. docs/ci.md shows how a nightly job uses a history.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/fields.h"
#include "core/result.h"
#include "history/database.h"
#include "history/history_cell.h"
#include "history/metric.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// $XDG_DATA_HOME/secondsource/history.db, or ~/.local/share/secondsource/history.db. Errors: kInvalidInput when
/// neither variable is set.
Result<std::filesystem::path> default_history_path();

/// How a history names the machine of a run: "AMD EPYC, 2 CPUs".
[[nodiscard]] std::string machine_of(const RunRecord& record);

/// The properties that a history stores of a run as a whole.
struct HistoryRun {
  std::string run_id{};
  std::string started_utc{};
  std::string branch{};
  std::string commit{};
  std::string label{};
  std::string program_version{};
  std::string machine{};  ///< machine_of()
  bool pinned = false;    ///< part of the anchor, therefore never pruned
  std::int64_t n_cells = 0;
  std::int64_t n_counted = 0;         ///< cells that count: right or unverified tokens, and a valid measurement
  std::int64_t n_unverified = 0;      ///< of these, cells with unverified tokens
  std::int64_t n_wrong = 0;           ///< cells with wrong tokens
  std::int64_t n_outside_limits = 0;  ///< cells of variants outside the limits of their quality
};
SS_FIELDS(HistoryRun, run_id, started_utc, branch, commit, label, program_version, machine, pinned, n_cells, n_counted,
          n_unverified, n_wrong, n_outside_limits)

/// The branch of a run that is added without one.
inline constexpr const char* kDefaultBranch = "main";

/// What is said of a run that is added. What is not said stays as it is in a run that is there already.
struct AddToHistory {
  std::optional<std::string> branch{};  ///< nullopt: kDefaultBranch in a new run
  std::optional<std::string> commit{};  ///< nullopt: in a new run the commit of the program that ran
  std::optional<std::string> label{};   ///< nullopt: empty in a new run
};

/// What became of a run that was added.
struct AddedRun {
  bool is_new = true;
  bool pinned = false;
  std::string branch{};
  std::string branch_before{};  ///< of a run that was there already
};

/// The value of a cell in one run.
struct HistoryPoint {
  std::string run_id{};
  std::string started_utc{};
  std::string commit{};
  bool pinned = false;
  double value = 0;  ///< in the metric's unit
};

/// The runs of one cell that are comparable with its newest one, which means the same hardware, bundle, options,
/// lengths and method. Kernel and driver versions may differ, so that a history shows their effects.
struct CellHistory {
  std::string cell{};  ///< CellKey::id()
  std::string setup{};
  std::string outside_limits{};        ///< of the variant in the newest run, as in VariantRecord
  std::vector<HistoryPoint> points{};  ///< oldest first
  std::int64_t n_other_setups = 0;     ///< runs left out because of a different setup
  std::int64_t n_not_counted = 0;      ///< runs left out for wrong tokens, an invalid measurement, an injected fault or
                                       ///< a missing value
};

struct PruneRule {
  std::optional<std::string> branch{};        ///< nullopt: all branches
  std::optional<std::int64_t> keep_newest{};  ///< number of runs to keep per branch
  std::optional<std::string> not_before{};    ///< UTC timestamp; older runs are removed
  std::vector<std::string> run_ids{};         ///< single runs of any branch, as for History::pin()
};

class History {
 public:
  /// Opens a history. A new one is empty. With kRead the file stays as it is, also one of an earlier release, and add(),
  /// prune() and pin() fail. Errors: kInvalidInput for a file that is damaged, not a history, of another version or absent;
  /// kIo.
  static Result<History> open(const std::filesystem::path& path, DatabaseAccess access);

  /// Adds a run, or replaces the stored values of a run that is there already, which may have been resumed since.
  Result<AddedRun> add(const SummarizedRun& run, const AddToHistory& how);
  /// Returns the runs, the newest first. `limit` 0 means all.
  Result<std::vector<HistoryRun>> runs(const std::optional<std::string>& branch, std::int64_t limit);
  /// Returns the ids of the cells in the newest run of the branch.
  Result<std::vector<std::string>> newest_cells(const std::string& branch);
  Result<bool> has_cell(const std::string& branch, const std::string& cell);
  /// Returns the values of one cell over time. Errors: kInvalidInput when the branch has no such cell.
  Result<CellHistory> cell(const std::string& branch, const std::string& cell, const HistoryMetric& metric);
  /// Returns every cell of every run, the oldest run first.
  Result<std::vector<HistoryCell>> cells(const std::optional<std::string>& branch);
  /// Returns the cells of one run; none if there is no such run.
  Result<std::vector<HistoryCell>> cells_of_run(const std::string& run_id);
  /// Removes the runs that the rule selects, except pinned ones, and returns their ids. With `dry_run`, nothing is
  /// removed. Errors: kInvalidInput when one of rule.run_ids is no run, several, or pinned; nothing is removed then.
  Result<std::vector<std::string>> prune(const PruneRule& rule, bool dry_run);
  /// Adds runs to the anchor or removes them from there: all of them or, after an error, none. Their ids may be
  /// abbreviated as long as they are unique. Errors: kInvalidInput when one matches no run or several.
  Result<std::vector<HistoryRun>> pin(const std::vector<std::string>& run_ids, bool pinned);

 private:
  explicit History(Database database) : database_(std::move(database)) {}
  Result<std::int64_t> setup_id(const std::string& setup);
  Result<void> add_cells(const SummarizedRun& run, std::int64_t row);
  /// Returns the only run whose id begins so. Errors: kInvalidInput.
  Result<HistoryRun> find_run(const std::string& run_id);
  Result<std::vector<HistoryCell>> select_cells(std::string_view condition, const SqlValue& value);

  Database database_;
};

/// Returns an array of runs, as `history list --json` prints it (reports/schemas/history.schema.json).
[[nodiscard]] std::string to_json(const std::vector<HistoryRun>& runs);
[[nodiscard]] std::string history_schema();

}  // namespace secondsource
