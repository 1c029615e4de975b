#pragma once
// Hand-made runs of one cell on a given night, and a check that a history of such runs is intact.

#include <fmt/format.h>

#include <filesystem>

#include "core/clock.h"
#include "core/file.h"
#include "history/database.h"
#include "support/result.h"
#include "unit/summary/sample_run.h"

namespace secondsource::test {

/// Returns the run of a night; night 0 is 2023-11-14. The cell's times are `slowdown` times those of
/// unit/summary/sample_run.h.
inline SummarizedRun run_on(int night, double slowdown = 1.0) {
  return hand_made_one_cell_run(slowdown, [night](RunRecord& record) {
    record.run_id = fmt::format("{:08x}00000000", night);
    record.started_utc = utc_timestamp(1'700'000'000 + 86'400LL * night);
    record.commit = fmt::format("{:012x}", night);
  });
}

/// Writes the same run as a run directory.
inline void store_night(const std::filesystem::path& folder, int night, double slowdown = 1.0) {
  std::filesystem::create_directories(folder);
  Journal journal = hand_made_journal(5, 8, slowdown);
  journal.lines.pop_back();
  std::string lines;
  for (const JournalLine& line : journal.lines) lines += to_json_line(line) + "\n";
  REQUIRE_OK(write_file(folder / "run.json", to_json(run_on(night).record)));
  REQUIRE_OK(write_file(folder / "samples.jsonl", lines));
}

/// Returns the number of runs in the history after checking that the database is intact and that every run has its one
/// cell.
inline std::int64_t runs_in_order(const std::filesystem::path& path) {
  auto database = Database::open(path, DatabaseAccess::kWrite);
  REQUIRE_OK(database);
  auto check = database->prepare("PRAGMA integrity_check");
  REQUIRE_OK(check);
  REQUIRE(*check->step());
  CHECK(check->text(0) == "ok");
  const auto n_runs = database->integer("SELECT count(*) FROM runs");
  REQUIRE_OK(n_runs);
  CHECK(*database->integer("SELECT count(*) FROM cells JOIN runs ON runs.id = cells.run") == *n_runs);
  return *n_runs;
}

}  // namespace secondsource::test
