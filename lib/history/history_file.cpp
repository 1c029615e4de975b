#include "history/history_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "core/file.h"
#include "core/folder.h"
#include "core/staging.h"
#include "history/metric.h"

namespace secondsource {
namespace {

constexpr std::int64_t kApplicationId = 0x53534853;  // "SSHS" in the file's header marks the database as a history
constexpr std::int64_t kSchemaVersion = 1;

std::string schema_sql() {
  std::string metrics;
  for (const HistoryMetric& metric : history_metrics()) metrics += fmt::format("{} REAL, ", metric.name);
  return fmt::format(
      "CREATE TABLE runs(id INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, started_utc TEXT NOT NULL, branch TEXT "
      "NOT "
      "NULL, commit_id TEXT NOT NULL, label TEXT NOT NULL, program_version TEXT NOT NULL, machine TEXT NOT NULL, "
      "pinned "
      "INTEGER NOT NULL DEFAULT 0);"
      "CREATE INDEX runs_by_time ON runs(branch, started_utc);"
      "CREATE TABLE setups(id INTEGER PRIMARY KEY, setup TEXT NOT NULL UNIQUE);"
      "CREATE TABLE cells(cell TEXT NOT NULL, run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE, setup "
      "INTEGER "
      "NOT NULL REFERENCES setups(id), golden TEXT NOT NULL, status TEXT NOT NULL, counts INTEGER NOT NULL, {}PRIMARY "
      "KEY(cell, run)) WITHOUT ROWID;"
      "CREATE INDEX cells_by_run ON cells(run);"
      "PRAGMA application_id = {}; PRAGMA user_version = {};",
      metrics, kApplicationId, kSchemaVersion);
}

/// A table that the first release did not have. It is a separate one, so that any release can read a file with or without
/// it.
struct AddedTable {
  const char* name;
  const char* columns;
};
constexpr AddedTable kAddedTables[] = {
    // The cells of opportunistic variants, which decide nothing.
    {"opportunistic",
     "(cell TEXT NOT NULL, run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE, PRIMARY KEY(cell, run)) WITHOUT "
     "ROWID"},
    // The cells of variants outside the limits of their quality, with the limits that they miss.
    {"outside_limits",
     "(run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE, cell TEXT NOT NULL, misses TEXT NOT NULL, PRIMARY "
     "KEY(run, cell)) WITHOUT ROWID"},
    // The cells without figures for reasons that are no failures (is_declined() in summary/summarize.h).
    {"declined",
     "(run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE, cell TEXT NOT NULL, PRIMARY KEY(run, cell)) WITHOUT "
     "ROWID"},
};

Result<bool> has_table(Database& database, const char* name) {
  SS_TRY(Statement find, database.prepare("SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = ?"));
  SS_TRY_VOID(find.bind({name}));
  return find.step();
}

/// The columns of metrics that an earlier release did not store.
Result<std::vector<std::string>> missing_columns(Database& database) {
  SS_TRY(Statement columns, database.prepare("SELECT name FROM pragma_table_info('cells')"));
  SS_TRY_VOID(columns.bind({}));
  std::set<std::string> known;
  while (true) {
    SS_TRY(const bool has_row, columns.step());
    if (!has_row) break;
    known.insert(columns.text(0));
  }
  std::vector<std::string> missing;
  for (const HistoryMetric& metric : history_metrics()) {
    if (!known.empty() && !known.contains(metric.name)) missing.emplace_back(metric.name);
  }
  return missing;
}

/// Adds what an earlier release did not store. For reading the file stays as it is: the connection alone has the tables,
/// empty, and the columns, without values.
Result<void> complete_schema(Database& database, bool is_read_only) {
  if (is_read_only) {
    SS_TRY_VOID(database.execute("PRAGMA temp_store = MEMORY"));
  }
  for (const AddedTable& table : kAddedTables) {
    SS_TRY(const bool is_there, has_table(database, table.name));
    if (is_there) continue;
    SS_TRY_VOID(database.execute(
        fmt::format("CREATE {} IF NOT EXISTS {}{}", is_read_only ? "TEMP TABLE" : "TABLE", table.name, table.columns)));
  }
  SS_TRY(std::vector<std::string> missing, missing_columns(database));
  if (missing.empty()) return {};
  if (is_read_only) {
    return database.execute(fmt::format("CREATE TEMP VIEW cells AS SELECT *, NULL AS {} FROM main.cells",
                                        fmt::join(missing, ", NULL AS ")));
  }
  SS_TRY(Transaction transaction, Transaction::begin(database));
  SS_TRY(missing, missing_columns(database));  // another process may have added them meanwhile
  for (const std::string& name : missing) {
    SS_TRY_VOID(database.execute(fmt::format("ALTER TABLE cells ADD COLUMN {} REAL", name)));
  }
  return transaction.commit();
}

/// Creates the file in a temporary folder, together with the files that SQLite needs beside it, and links it to `path`,
/// so that no process ever opens an incomplete history. If another process created one meanwhile, its file is used.
Result<void> create_empty(const std::filesystem::path& path) {
  SS_TRY_VOID(create_folder(folder_of(path)));
  SS_TRY(const StagedEntry staged, stage_folder(path));
  const std::filesystem::path partial = staged.path / "history.db";
  const auto make = [&]() -> Result<void> {
    SS_TRY(Database database, Database::open(partial, DatabaseAccess::kCreate));
    SS_TRY_VOID(database.execute("PRAGMA journal_mode = WAL"));
    return database.execute(schema_sql());
  };
  const Result<void> made = make();
  const bool linked = made && (::link(partial.c_str(), path.c_str()) == 0 || errno == EEXIST);
  const int why = errno;
  discard(staged.path);
  SS_TRY_VOID(made);
  if (!linked) return Error{ErrorCode::kIo, fmt::format("{}: cannot create: {}", path.string(), std::strerror(why))};
  return flush_folder(folder_of(path));
}

/// A history that may not be written is bad input, and no failure of the disk, as which SQLite reports it. SQLite writes
/// two files beside it as well, which stay while another process has the history open.
Result<void> check_writable(const std::filesystem::path& path) {
  std::vector<std::filesystem::path> places = {path};
  if (!path_exists(path.string() + "-wal")) places.push_back(folder_of(path));
  for (const std::filesystem::path& place : places) {
    if (::access(place.c_str(), W_OK) == 0) continue;
    const int why = errno;
    return Error{is_fault_of_path(why) ? ErrorCode::kInvalidInput : ErrorCode::kIo,
                 fmt::format("{}: expected a history that may be written: {}{}", path.string(),
                             place == path ? "" : place.string() + ": ", std::strerror(why))};
  }
  return {};
}

}  // namespace

Result<Database> open_history_file(const std::filesystem::path& path, DatabaseAccess access) {
  std::error_code unknown;
  if (std::filesystem::is_directory(path, unknown)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected the file of a history, found a folder", path.string())};
  }
  if (!path_exists(path)) {
    if (access != DatabaseAccess::kCreate) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: there is no history; `history add` begins one", path.string())};
    }
    SS_TRY_VOID(create_empty(path));
  }
  const bool is_read_only = access == DatabaseAccess::kRead;
  if (!is_read_only) SS_TRY_VOID(check_writable(path));
  SS_TRY(Database database, Database::open(path, is_read_only ? DatabaseAccess::kRead : DatabaseAccess::kWrite));
  SS_TRY(const std::int64_t application, database.integer("PRAGMA application_id"));
  if (application != kApplicationId) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a history of secondsource, found another SQLite database", path.string())};
  }
  SS_TRY(const std::int64_t version, database.integer("PRAGMA user_version"));
  if (version != kSchemaVersion) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: schema version: expected {}, found {}", path.string(), kSchemaVersion, version)};
  }
  // SQLite reads a damaged page without an error as long as it looks like one, and rows would be missing.
  SS_TRY(const std::string damage, database.text("PRAGMA quick_check(1)"));
  if (damage != "ok") {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: damaged: {}", path.string(), damage)};
  }
  SS_TRY_VOID(database.execute("PRAGMA foreign_keys = ON"));
  SS_TRY_VOID(complete_schema(database, is_read_only));
  return database;
}

}  // namespace secondsource
