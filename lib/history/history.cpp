#include "history/history.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <ctime>

#include "core/clock.h"
#include "core/file.h"
#include "core/utf8.h"
#include "history/history_file.h"
#include "summary/summarize.h"

namespace secondsource {
namespace {

constexpr std::int64_t kSecondsPerDay = 86'400;

std::string fact_of(const RunRecord& record, std::string_view name) {
  for (const HostFact& fact : record.host) {
    if (fact.name == name) return fact.value.value_or("unknown");
  }
  return "unknown";
}

/// The known settings that label rows. Unknown settings are left out, so that they do not split a series.
std::string known_features(const ServedFeatures& features) {
  std::string text;
  for (const auto& [name, setting] :
       {std::pair("speculative", &features.speculative), std::pair("prefix_cache", &features.prefix_cache),
        std::pair("kv_cache", &features.kv_cache)}) {
    if (setting->source != SettingSource::kUnknown) text += fmt::format(" {}={}", name, setting->value);
  }
  return text;
}

/// Describes in words everything that must be equal for two values to belong to one series.
std::string setup_of(const RunRecord& record, const CellSummary& cell) {
  std::string bundle = "unknown";
  for (const BundleRecord& one : record.bundles) {
    if (one.name == cell.key.bundle) bundle = one.content_sha256.substr(0, 16);
  }
  std::string device = "unknown";
  std::string options;
  for (const BackendRecord& backend : record.backends) {
    if (backend.name != cell.key.backend) continue;
    device = backend.device.name;
    for (const auto& [key, value] : backend.options) {
      if (key != "fault") options += fmt::format(" {}={}", key, value);
    }
    if (backend.served && backend.served->features) options += known_features(*backend.served->features);
  }
  const Scenario& scenario = cell.scenario;
  return fmt::format(
      "{}, {} B memory, affinity {}; {}{}; bundle {}; {} requests, {} prompt and {} output tokens; method {}",
      machine_of(record), fact_of(record, "memory_bytes"), fact_of(record, "affinity_cpus"), device, options, bundle,
      scenario.n_requests, scenario.n_prompt_tokens, scenario.n_output_tokens, record.method_version);
}

bool has_planted_fault(const RunRecord& record, const std::string& backend_name) {
  return std::any_of(record.backends.begin(), record.backends.end(), [&](const BackendRecord& backend) {
    return backend.name == backend_name && std::any_of(backend.options.begin(), backend.options.end(),
                                                       [](const auto& option) { return option.first == "fault"; });
  });
}

HistoryRun run_of(const Statement& row) {
  return {.run_id = row.text(0),
          .started_utc = row.text(1),
          .branch = row.text(2),
          .commit = row.text(3),
          .label = row.text(4),
          .program_version = row.text(5),
          .machine = row.text(6),
          .pinned = row.integer(7) != 0,
          .n_cells = row.integer(8),
          .n_counted = row.integer(9),
          .n_unverified = row.integer(10),
          .n_wrong = row.integer(11),
          .n_outside_limits = row.integer(12)};
}

constexpr std::string_view kSelectRuns =
    "SELECT run_id, started_utc, branch, commit_id, label, program_version, machine, pinned, count(cells.run), "
    "ifnull(sum(counts), 0), ifnull(sum(counts AND golden = 'unverified'), 0), ifnull(sum(golden = 'failed'), 0), "
    "(SELECT count(*) FROM outside_limits WHERE outside_limits.run = runs.id) "
    "FROM runs LEFT JOIN cells ON cells.run = runs.id ";

/// Reads a column that holds the name of a value of an enum.
template <NamedEnum E>
Result<E> named_value(const Statement& row, int column, std::string_view name) {
  const std::string text = row.text(column);
  if (const std::optional<E> value = enum_from_name<E>(text)) return *value;
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected one of {}, found {}", name, fmt::join(names_of(E{}), ", "), in_quotes(text))};
}

}  // namespace

std::string machine_of(const RunRecord& record) {
  return fmt::format("{}, {} CPUs", fact_of(record, "cpu_model"), fact_of(record, "logical_cpus"));
}

Result<std::filesystem::path> default_history_path() {
  SS_TRY(const std::filesystem::path folder, data_folder());
  return folder / "history.db";
}

Result<History> History::open(const std::filesystem::path& path, DatabaseAccess access) {
  SS_TRY(Database database, open_history_file(path, access));
  return History(std::move(database));
}

Result<std::int64_t> History::setup_id(const std::string& setup) {
  SS_TRY(Statement insert, database_.prepare("INSERT INTO setups(setup) VALUES (?) ON CONFLICT DO NOTHING"));
  SS_TRY_VOID(insert.run({setup}));
  SS_TRY(Statement find, database_.prepare("SELECT id FROM setups WHERE setup = ?"));
  SS_TRY_VOID(find.bind({setup}));
  SS_TRY(const bool found, find.step());
  return found ? find.integer(0) : 0;
}

Result<void> History::add_cells(const SummarizedRun& run, std::int64_t row) {
  std::string columns;
  for (const HistoryMetric& metric : history_metrics()) columns += fmt::format(", {}", metric.name);
  SS_TRY(Statement insert, database_.prepare(fmt::format(
                               "INSERT INTO cells(cell, run, setup, golden, status, counts{}) VALUES (?, ?, ?, ?, ?, "
                               "?, ?, ?, ?, ?, ?, ?, ?, ?)",
                               columns)));
  for (const CellSummary& cell : run.summary.cells) {
    SS_TRY(const std::int64_t setup, setup_id(setup_of(run.record, cell)));
    const bool measured = cell.status == CellStatus::kComplete || cell.status == CellStatus::kPartial;
    const bool counts = measured && has_credit(cell) && !has_planted_fault(run.record, cell.key.backend);
    const auto value = [&](std::size_t i) { return sql_value(history_metrics()[i].value(cell)); };
    SS_TRY_VOID(insert.run({cell.key.id(), row, setup, std::string(to_string(cell.golden)),
                            std::string(to_string(cell.status)), std::int64_t{counts}, value(0), value(1), value(2),
                            value(3), value(4), value(5), value(6), value(7)}));
    if (cell.tier == Tier::kOpportunistic) {
      SS_TRY(Statement mark, database_.prepare("INSERT INTO opportunistic(cell, run) VALUES (?, ?)"));
      SS_TRY_VOID(mark.run({cell.key.id(), row}));
    }
    if (is_declined(run.record, run.summary, cell)) {
      SS_TRY(Statement mark, database_.prepare("INSERT INTO declined(run, cell) VALUES (?, ?)"));
      SS_TRY_VOID(mark.run({row, cell.key.id()}));
    }
    if (!cell.outside_limits.empty()) {
      SS_TRY(Statement mark, database_.prepare("INSERT INTO outside_limits(run, cell, misses) VALUES (?, ?, ?)"));
      SS_TRY_VOID(mark.run({row, cell.key.id(), cell.outside_limits}));
    }
  }
  return {};
}

Result<AddedRun> History::add(const SummarizedRun& run, const AddToHistory& how) {
  const RunRecord& record = run.record;
  // A run of the future would stay the newest one, and hide what is missing in later runs. A day is left for clocks that
  // are a little ahead.
  if (const std::string tomorrow = utc_timestamp(std::time(nullptr) + kSecondsPerDay); record.started_utc > tomorrow) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("run {}: started_utc: expected a time that has come, found {}; the clock of its machine was "
                    "wrong, or that of this one is",
                    record.run_id, record.started_utc)};
  }
  SS_TRY(Transaction transaction, Transaction::begin(database_));
  AddedRun added;
  SS_TRY(Statement find, database_.prepare("SELECT branch, pinned FROM runs WHERE run_id = ?"));
  SS_TRY_VOID(find.bind({record.run_id}));
  SS_TRY(const bool is_known, find.step());
  if (is_known) added = {.is_new = false, .pinned = find.integer(1) != 0, .branch_before = find.text(0)};
  SS_TRY(
      Statement put,
      database_.prepare("INSERT INTO runs(run_id, started_utc, branch, commit_id, label, program_version, machine) "
                        "VALUES (?1, ?2, ifnull(?3, ?4), ifnull(?5, ?6), ifnull(?7, ''), ?8, ?9) ON CONFLICT(run_id) "
                        "DO UPDATE SET branch = ifnull(?3, branch), commit_id = ifnull(?5, commit_id), label = "
                        "ifnull(?7, label) RETURNING id, branch"));
  SS_TRY_VOID(put.bind({record.run_id, record.started_utc, sql_value(how.branch), kDefaultBranch, sql_value(how.commit),
                        record.commit, sql_value(how.label), record.program_version, machine_of(record)}));
  SS_TRY(const bool has_row, put.step());
  const std::int64_t row = has_row ? put.integer(0) : 0;
  added.branch = has_row ? put.text(1) : "";
  SS_TRY([[maybe_unused]] const bool more, put.step());
  for (const char* table : {"cells", "opportunistic", "outside_limits", "declined"}) {
    SS_TRY(Statement clear, database_.prepare(fmt::format("DELETE FROM {} WHERE run = ?", table)));
    SS_TRY_VOID(clear.run({row}));
  }
  SS_TRY_VOID(add_cells(run, row));
  SS_TRY_VOID(transaction.commit());
  return added;
}

Result<std::vector<HistoryRun>> History::runs(const std::optional<std::string>& branch, std::int64_t limit) {
  // The newest runs are selected before their cells are counted, so that a short list does not read a long history.
  SS_TRY(Statement select,
         database_.prepare(
             std::string(kSelectRuns) +
             "WHERE runs.id IN (SELECT id FROM runs WHERE ?1 IS NULL OR branch = ?1 ORDER BY started_utc DESC, "
             "id DESC LIMIT ?2) GROUP BY runs.id ORDER BY started_utc DESC, runs.id DESC"));
  SS_TRY_VOID(select.bind({sql_value(branch), limit > 0 ? limit : std::int64_t{-1}}));
  std::vector<HistoryRun> result;
  while (true) {
    SS_TRY(const bool has_row, select.step());
    if (!has_row) return result;
    result.push_back(run_of(select));
  }
}

Result<std::vector<std::string>> History::newest_cells(const std::string& branch) {
  SS_TRY(
      Statement select,
      database_.prepare("SELECT cell FROM cells WHERE run = (SELECT id FROM runs WHERE branch = ? ORDER BY started_utc "
                        "DESC, id DESC LIMIT 1) ORDER BY cell"));
  SS_TRY_VOID(select.bind({branch}));
  std::vector<std::string> result;
  while (true) {
    SS_TRY(const bool has_row, select.step());
    if (!has_row) return result;
    result.push_back(select.text(0));
  }
}

Result<bool> History::has_cell(const std::string& branch, const std::string& cell) {
  SS_TRY(Statement find,
         database_.prepare("SELECT 1 FROM cells JOIN runs ON runs.id = cells.run WHERE cells.cell = ? AND "
                           "branch = ? LIMIT 1"));
  SS_TRY_VOID(find.bind({cell, branch}));
  return find.step();
}

Result<CellHistory> History::cell(const std::string& branch, const std::string& cell, const HistoryMetric& metric) {
  SS_TRY(Statement select,
         database_.prepare(fmt::format(
             "SELECT run_id, started_utc, commit_id, pinned, counts, setup, misses, {} FROM cells JOIN runs "
             "ON runs.id = cells.run LEFT JOIN outside_limits ON outside_limits.run = runs.id AND "
             "outside_limits.cell = cells.cell WHERE cells.cell = ? AND branch = ? ORDER BY started_utc, "
             "runs.id",
             metric.name)));
  SS_TRY_VOID(select.bind({cell, branch}));
  struct Row {
    HistoryPoint point;
    std::int64_t setup;
    bool counts;
  };
  std::vector<Row> rows;
  CellHistory result;
  while (true) {
    SS_TRY(const bool has_row, select.step());
    if (!has_row) break;
    result.outside_limits = select.text(6);  // that of the last row, the newest run, stays
    const std::optional<double> value = select.number(7);
    rows.push_back({{.run_id = select.text(0),
                     .started_utc = select.text(1),
                     .commit = select.text(2),
                     .pinned = select.integer(3) != 0,
                     .value = value.value_or(0) * metric.per_unit},
                    select.integer(5),
                    select.integer(4) != 0 && value.has_value()});
  }
  if (rows.empty()) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: branch {} has no cell {}", database_.name(), branch, cell)};
  }
  result.cell = cell;
  const std::int64_t setup = rows.back().setup;
  SS_TRY(result.setup, [&]() -> Result<std::string> {
    SS_TRY(Statement find, database_.prepare("SELECT setup FROM setups WHERE id = ?"));
    SS_TRY_VOID(find.bind({setup}));
    SS_TRY([[maybe_unused]] const bool found, find.step());
    return find.text(0);
  }());
  for (Row& row : rows) {
    if (row.setup != setup) {
      ++result.n_other_setups;
    } else if (!row.counts) {
      ++result.n_not_counted;
    } else {
      result.points.push_back(std::move(row.point));
    }
  }
  return result;
}

Result<std::vector<HistoryCell>> History::cells(const std::optional<std::string>& branch) {
  return select_cells("?1 IS NULL OR branch = ?1", sql_value(branch));
}

Result<std::vector<HistoryCell>> History::cells_of_run(const std::string& run_id) {
  return select_cells("run_id = ?1", run_id);
}

Result<std::vector<HistoryCell>> History::select_cells(std::string_view condition, const SqlValue& value) {
  std::string columns;
  for (const HistoryMetric& metric : history_metrics()) columns += fmt::format(", {}", metric.name);
  SS_TRY(
      Statement select,
      database_.prepare(fmt::format(
          "SELECT run_id, started_utc, branch, commit_id, label, program_version, machine, pinned, cells.cell, "
          "golden, status, counts, setups.setup, EXISTS (SELECT 1 FROM opportunistic WHERE opportunistic.cell = cells.cell "
          "AND opportunistic.run = cells.run), misses, EXISTS (SELECT 1 FROM declined WHERE declined.cell = cells.cell AND "
          "declined.run = cells.run){} FROM cells JOIN runs ON runs.id = cells.run JOIN setups ON "
          "setups.id = cells.setup LEFT JOIN outside_limits ON outside_limits.run = cells.run AND outside_limits.cell = "
          "cells.cell WHERE {} ORDER BY started_utc, runs.id, cells.cell",
          columns, condition)));
  SS_TRY_VOID(select.bind({value}));
  std::vector<HistoryCell> result;
  while (true) {
    SS_TRY(const bool has_row, select.step());
    if (!has_row) return result;
    const std::string id = select.text(8);
    const std::string where = fmt::format("{}: run {}: {}", database_.name(), select.text(0), id);
    CellKey key = key_of_cell(id);
    HistoryCell& cell = result.emplace_back();
    cell.run_id = select.text(0);
    cell.started_utc = select.text(1);
    cell.branch = select.text(2);
    cell.commit = select.text(3);
    cell.label = select.text(4);
    cell.program_version = select.text(5);
    cell.machine = select.text(6);
    cell.pinned = select.integer(7) != 0;
    cell.bundle = std::move(key.bundle);
    cell.backend = std::move(key.backend);
    cell.variant = std::move(key.variant);
    cell.scenario = std::move(key.scenario);
    SS_TRY(cell.golden, named_value<GoldenVerdict>(select, 9, where + ": golden"));
    SS_TRY(cell.status, named_value<CellStatus>(select, 10, where + ": status"));
    cell.counts = select.integer(11) != 0;
    cell.setup = select.text(12);
    cell.tier = select.integer(13) != 0 ? Tier::kOpportunistic : Tier::kBlessed;
    cell.outside_limits = select.text(14);
    cell.declined = select.integer(15) != 0;
    if (!cell.counts) continue;
    int column = 16;
    for (const HistoryMetric& metric : history_metrics()) cell.*metric.exported = select.number(column++);
  }
}

Result<std::vector<std::string>> History::prune(const PruneRule& rule, bool dry_run) {
  SS_TRY(Transaction transaction, Transaction::begin(database_));
  SS_TRY(Statement select,
         database_.prepare(
             "SELECT run_id FROM (SELECT run_id, branch, started_utc, pinned, row_number() OVER (PARTITION BY "
             "branch ORDER BY started_utc DESC, id DESC) AS place FROM runs) WHERE NOT pinned AND (?1 IS NULL "
             "OR branch = ?1) AND ((?2 IS NOT NULL AND place > ?2) OR (?3 IS NOT NULL AND started_utc < ?3)) "
             "ORDER BY started_utc"));
  SS_TRY_VOID(select.bind({sql_value(rule.branch), sql_value(rule.keep_newest), sql_value(rule.not_before)}));
  std::vector<std::string> result;
  while (true) {
    SS_TRY(const bool has_row, select.step());
    if (!has_row) break;
    result.push_back(select.text(0));
  }
  for (const std::string& run_id : rule.run_ids) {
    SS_TRY(const HistoryRun run, find_run(run_id));
    if (run.pinned) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("{}: run {}: expected a run that is not pinned, found a pinned one (history pin --remove "
                      "{})",
                      database_.name(), run_id, run.run_id)};
    }
    if (std::ranges::find(result, run.run_id) == result.end()) result.push_back(run.run_id);
  }
  if (dry_run) return result;
  SS_TRY(Statement remove, database_.prepare("DELETE FROM runs WHERE run_id = ?"));
  for (const std::string& run_id : result) SS_TRY_VOID(remove.run({run_id}));
  SS_TRY_VOID(transaction.commit());
  return result;
}

Result<HistoryRun> History::find_run(const std::string& run_id) {
  SS_TRY(Statement select, database_.prepare(std::string(kSelectRuns) +
                                             "WHERE substr(run_id, 1, length(?1)) = ?1 GROUP BY runs.id LIMIT 2"));
  SS_TRY_VOID(select.bind({run_id}));
  std::vector<HistoryRun> found;
  while (true) {
    SS_TRY(const bool has_row, select.step());
    if (!has_row) break;
    found.push_back(run_of(select));
  }
  if (found.size() != 1) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: run {}: expected one run of this id, found {}",
                                                       database_.name(), run_id, found.empty() ? "none" : "several")};
  }
  return found.front();
}

Result<std::vector<HistoryRun>> History::pin(const std::vector<std::string>& run_ids, bool pinned) {
  SS_TRY(Transaction transaction, Transaction::begin(database_));
  std::vector<HistoryRun> runs;
  SS_TRY(Statement update, database_.prepare("UPDATE runs SET pinned = ? WHERE run_id = ?"));
  for (const std::string& run_id : run_ids) {
    SS_TRY(HistoryRun run, find_run(run_id));
    SS_TRY_VOID(update.run({std::int64_t{pinned}, run.run_id}));
    run.pinned = pinned;
    runs.push_back(std::move(run));
  }
  SS_TRY_VOID(transaction.commit());
  return runs;
}

}  // namespace secondsource
