#include "history/history.h"

#include <algorithm>

#include "core/file.h"
#include "run_on.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/source_path.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

const std::string kCell = "tiny/cpu/bf16/single-stream";

History open_new(const ScratchFolder& scratch) {
  auto history = History::open(scratch.path() / "deep/er/history.db", DatabaseAccess::kCreate);
  REQUIRE_OK(history);
  return std::move(history).value();
}

void add(History& history, const SummarizedRun& run, const std::string& branch = "main") {
  REQUIRE_OK(history.add(run, {.branch = branch}));
}

CellHistory cell_of(History& history, const std::string& metric = "output_tok_per_s") {
  auto cell = history.cell("main", kCell, *find_history_metric(metric));
  REQUIRE_OK(cell);
  return std::move(cell).value();
}

}  // namespace

TEST_CASE("what a run measured comes back, oldest first, in the metric's unit") {
  const ScratchFolder scratch;
  History history = open_new(scratch);
  add(history, run_on(2, 1.5));
  add(history, run_on(1));
  const CellHistory rate = cell_of(history);
  REQUIRE(rate.points.size() == 2);
  CHECK(rate.points[0].run_id == "0000000100000000");
  CHECK(rate.points[0].value == Approx(202));
  CHECK(rate.points[1].value == Approx(202 / 1.5));
  CHECK(rate.points[0].commit == "000000000001");
  // The TTFT of the requests is 10 to 17 ms, so that the median is 13.5 ms.
  CHECK(cell_of(history, "ttft_p50").points[0].value == Approx(13.5));
  CHECK(cell_of(history, "peak_memory").points[0].value == Approx(1300.0 / 1048576));
  // 40 requests are too few for a 95th percentile, so that there is no value rather than a zero.
  CHECK(cell_of(history, "ttft_p95").points.empty());
  CHECK(cell_of(history, "ttft_p95").n_not_counted == 2);
  CHECK_ERROR(history.cell("main", "no/such/cell/here", history_metrics()[0]), ErrorCode::kInvalidInput,
              "no cell no/such");
  CHECK_ERROR(history.cell("other", kCell, history_metrics()[0]), ErrorCode::kInvalidInput, "branch other");
}

TEST_CASE("a run that is added again is brought up to date, and keeps its pin and what is not said anew") {
  const ScratchFolder scratch;
  History history = open_new(scratch);
  CHECK(history.add(run_on(1), {.branch = "release", .commit = "c0ffee", .label = "v1"})->is_new);
  REQUIRE_OK(history.pin({"00000001"}, true));
  const auto only_run = [&] {
    const auto runs = history.runs(std::nullopt, 0);
    REQUIRE_OK(runs);
    REQUIRE(runs->size() == 1);
    CHECK(runs->front().pinned);
    return runs->front();
  };
  auto added = history.add(run_on(1, 2.0), {});
  REQUIRE_OK(added);
  CHECK_FALSE(added->is_new);
  CHECK(added->branch == "release");
  HistoryRun run = only_run();
  CHECK(run.branch == "release");
  CHECK(run.commit == "c0ffee");
  CHECK(run.label == "v1");
  added = history.add(run_on(1, 2.0), {.branch = "main", .label = ""});
  REQUIRE_OK(added);
  CHECK(added->pinned);
  CHECK(added->branch_before == "release");
  CHECK(added->branch == "main");
  run = only_run();
  CHECK(run.commit == "c0ffee");
  CHECK(run.label.empty());
  CHECK(cell_of(history).points.at(0).value == Approx(101));
}

TEST_CASE("a new run of which nothing is said is one of the main branch, and of the commit of its program") {
  const ScratchFolder scratch;
  History history = open_new(scratch);
  REQUIRE_OK(history.add(run_on(1), {}));
  const HistoryRun run = history.runs(std::nullopt, 0)->at(0);
  CHECK(run.branch == "main");
  CHECK(run.commit == "000000000001");
  CHECK(run.label.empty());
}

TEST_CASE("the list is newest first, by branch, and counts what the cells say") {
  const ScratchFolder scratch;
  History history = open_new(scratch);
  SummarizedRun wrong = run_on(3);
  wrong.summary.cells[0].golden = GoldenVerdict::kFailed;
  add(history, run_on(1));
  add(history, wrong);
  add(history, run_on(2), "topic");
  const auto all = history.runs(std::nullopt, 0);
  REQUIRE_OK(all);
  REQUIRE(all->size() == 3);
  CHECK(all->at(0).run_id == "0000000300000000");
  CHECK(all->at(0).n_wrong == 1);
  CHECK(all->at(0).n_counted == 0);
  CHECK(all->at(1).branch == "topic");
  CHECK(all->at(2).n_cells == 1);
  CHECK(all->at(2).n_counted == 1);
  CHECK(all->at(2).machine == "Test CPU, unknown CPUs");
  CHECK(history.runs("main", 0)->size() == 2);
  CHECK(history.runs(std::nullopt, 1)->front().run_id == "0000000300000000");
}

TEST_CASE(
    "wrong tokens, invalid cells and planted faults are kept and never counted; other setups are another series") {
  const ScratchFolder scratch;
  History history = open_new(scratch);
  SummarizedRun wrong = run_on(1);
  wrong.summary.cells[0].golden = GoldenVerdict::kFailed;
  SummarizedRun invalid = run_on(2);
  invalid.summary.cells[0].status = CellStatus::kInvalid;
  SummarizedRun slowed = run_on(3);
  slowed.record.backends[0].options = {{"fault", "slow:50"}};
  SummarizedRun other_bundle = run_on(4);
  other_bundle.record.bundles[0].content_sha256 = std::string(64, 'b');
  SummarizedRun other_host = run_on(5);
  other_host.record.host[0].value = "Another CPU";
  for (const SummarizedRun* run : {&wrong, &invalid, &slowed, &other_bundle, &other_host}) add(history, *run);
  add(history, run_on(6));
  const CellHistory cell = cell_of(history);
  CHECK(cell.points.size() == 1);
  CHECK(cell.n_not_counted == 3);
  CHECK(cell.n_other_setups == 2);
  CHECK(cell.setup.find("bundle aaaaaaaaaaaaaaaa") != std::string::npos);
}

TEST_CASE("prune takes out by count and by age, of each branch, and never what is pinned") {
  const ScratchFolder scratch;
  History history = open_new(scratch);
  for (int night = 0; night < 10; ++night) add(history, run_on(night), night % 2 == 0 ? "main" : "topic");
  REQUIRE_OK(history.pin({"00000000"}, true));
  const auto would_go = history.prune({.keep_newest = 2}, /*dry_run=*/true);
  REQUIRE_OK(would_go);
  CHECK(would_go->size() == 5);  // three of five per branch, except the pinned one
  CHECK(history.runs(std::nullopt, 0)->size() == 10);
  REQUIRE_OK(history.prune({.branch = "topic", .keep_newest = 2}, false));
  CHECK(history.runs("topic", 0)->size() == 2);
  CHECK(history.runs("main", 0)->size() == 5);
  REQUIRE_OK(history.prune({.not_before = run_on(6).record.started_utc}, false));
  CHECK(history.runs("main", 0)->size() == 3);  // the pinned run, and nights 6 and 8
  CHECK(history.runs("main", 0)->back().pinned);
  CHECK(cell_of(history).points.size() == 3);  // the cells of a run are removed with it
}

TEST_CASE("pin takes the beginning of an id that means one run") {
  const ScratchFolder scratch;
  History history = open_new(scratch);
  for (int night : {0x10, 0x11, 0x20}) add(history, run_on(night));
  CHECK(history.pin({"0000002"}, true)->at(0).run_id == "0000002000000000");
  CHECK_FALSE(history.pin({"0000002"}, false)->at(0).pinned);
  CHECK_ERROR(history.pin({"0000001"}, true), ErrorCode::kInvalidInput, "found several");
  CHECK_ERROR(history.pin({"ffff"}, true), ErrorCode::kInvalidInput, "found none");
  CHECK_ERROR(history.pin({"%"}, true), ErrorCode::kInvalidInput, "found none");
  // All or none: the first one is not pinned where the second is no run.
  CHECK_ERROR(history.pin({"0000002", "ffff"}, true), ErrorCode::kInvalidInput, "run ffff: expected one run");
  const auto n_pinned = [&] { return std::ranges::count(*history.runs(std::nullopt, 0), true, &HistoryRun::pinned); };
  CHECK(n_pinned() == 0);
  CHECK(history.pin({"00000010", "00000011"}, true)->size() == 2);
  CHECK(n_pinned() == 2);
}

TEST_CASE("a single run is removed by its id, unless it is pinned") {
  const ScratchFolder scratch;
  History history = open_new(scratch);
  for (int night = 0; night < 4; ++night) add(history, run_on(night));
  REQUIRE_OK(history.pin({"00000000"}, true));
  CHECK_ERROR(history.prune({.run_ids = {"00000001", "00000000"}}, false), ErrorCode::kInvalidInput,
              "expected a run that is not pinned");
  CHECK_ERROR(history.prune({.run_ids = {"00000001", "ffff"}}, false), ErrorCode::kInvalidInput, "found none");
  CHECK(history.runs(std::nullopt, 0)->size() == 4);
  CHECK(history.prune({.run_ids = {"00000002", "0000000200"}}, false)->size() == 1);
  CHECK(history.runs(std::nullopt, 0)->size() == 3);
}

TEST_CASE("a damaged file, a foreign database, another version or no file is refused with a line") {
  const ScratchFolder scratch;
  const auto path = scratch.path() / "history.db";
  CHECK_ERROR(History::open(path, DatabaseAccess::kWrite), ErrorCode::kInvalidInput, "there is no history");
  for (const auto access : {DatabaseAccess::kRead, DatabaseAccess::kWrite, DatabaseAccess::kCreate}) {
    CHECK_ERROR(History::open(scratch.path(), access), ErrorCode::kInvalidInput,
                "expected the file of a history, found a folder");
  }
  REQUIRE_OK(write_file(path, "this is not a database, but it is long enough to look like one, more or less"));
  CHECK_ERROR(History::open(path, DatabaseAccess::kCreate), ErrorCode::kInvalidInput,
              "history.db: expected a history, found a damaged");
  std::filesystem::remove(path);
  {
    auto foreign = Database::open(path, DatabaseAccess::kCreate);
    REQUIRE_OK(foreign);
    REQUIRE_OK(foreign->execute("CREATE TABLE songs(title)"));
  }
  CHECK_ERROR(History::open(path, DatabaseAccess::kCreate), ErrorCode::kInvalidInput, "another SQLite database");
  std::filesystem::remove(path);
  { REQUIRE_OK(History::open(path, DatabaseAccess::kCreate)); }
  {
    auto newer = Database::open(path, DatabaseAccess::kWrite);
    REQUIRE_OK(newer);
    REQUIRE_OK(newer->execute("PRAGMA user_version = 9"));
  }
  CHECK_ERROR(History::open(path, DatabaseAccess::kWrite), ErrorCode::kInvalidInput,
              "schema version: expected 1, found 9");
}

TEST_CASE("a history of the first release, which knows no opportunistic variants, is read and gets runs") {
  const ScratchFolder scratch;
  const auto path = scratch.path() / "history.db";
  {
    auto history = History::open(path, DatabaseAccess::kCreate);
    REQUIRE_OK(history);
    REQUIRE_OK(history->add(run_on(1), {.branch = "main"}));
  }
  {
    auto old = Database::open(path, DatabaseAccess::kWrite);
    REQUIRE_OK(old);
    REQUIRE_OK(old->execute("DROP TABLE opportunistic"));
  }
  auto history = History::open(path, DatabaseAccess::kWrite);
  REQUIRE_OK(history);
  const auto tier_on = [&](int night) { return history->cells_of_run(run_on(night).record.run_id)->at(0).tier; };
  CHECK(tier_on(1) == Tier::kBlessed);
  SummarizedRun run = run_on(2);
  run.summary.cells[0].tier = Tier::kOpportunistic;
  REQUIRE_OK(history->add(run, {.branch = "main"}));
  CHECK(tier_on(2) == Tier::kOpportunistic);
  CHECK(history->cells_of_run("none")->empty());
}

TEST_CASE(
    "a variant outside its limits is said to be so in the list and in an export, and the newest run says what holds") {
  const ScratchFolder scratch;
  History history = open_new(scratch);
  SummarizedRun outside = run_on(2);
  outside.summary.cells[0].tier = Tier::kOpportunistic;
  outside.summary.cells[0].outside_limits = "mean KL 0.07, at most 0.05 allowed";
  add(history, run_on(1));
  add(history, outside);
  const auto runs = history.runs(std::nullopt, 0);
  REQUIRE_OK(runs);
  CHECK(runs->at(0).n_outside_limits == 1);
  CHECK(runs->at(1).n_outside_limits == 0);
  CHECK(history.pin({"00000002"}, true)->at(0).n_outside_limits == 1);
  const auto cells = history.cells(std::nullopt);
  REQUIRE_OK(cells);
  CHECK(cells->at(0).outside_limits.empty());
  CHECK(cells->at(1).outside_limits == "mean KL 0.07, at most 0.05 allowed");
  CHECK(to_json_lines(*cells).find("\"outside_limits\":\"mean KL 0.07, at most 0.05 allowed\"") != std::string::npos);
  CHECK(cell_of(history).outside_limits == "mean KL 0.07, at most 0.05 allowed");
  add(history, run_on(3));
  CHECK(cell_of(history).outside_limits.empty());  // the newest run says what holds
  const auto n_marks = [&] {
    return *Database::open(scratch.path() / "deep/er/history.db", DatabaseAccess::kWrite)
                ->integer("SELECT count(*) FROM outside_limits");
  };
  CHECK(n_marks() == 1);
  SummarizedRun accepted = outside;
  accepted.summary.cells[0].outside_limits.clear();
  add(history, accepted);  // the same run, after its limits were changed
  CHECK(n_marks() == 0);
  add(history, outside);
  REQUIRE_OK(history.pin({"00000002"}, false));
  REQUIRE_OK(history.prune({.keep_newest = 1}, false));
  CHECK(n_marks() == 0);  // a mark is removed with its run
}

TEST_CASE(
    "a history of a release that stored no limits is read, has no marks of its old runs, and gets those of new ones") {
  const ScratchFolder scratch;
  const auto path = scratch.path() / "history.db";
  SummarizedRun outside = run_on(1);
  outside.summary.cells[0].outside_limits = "mean KL 0.07, at most 0.05 allowed";
  {
    auto history = History::open(path, DatabaseAccess::kCreate);
    REQUIRE_OK(history);
    add(*history, outside);
  }
  REQUIRE_OK(Database::open(path, DatabaseAccess::kWrite)->execute("DROP TABLE outside_limits"));
  auto history = History::open(path, DatabaseAccess::kWrite);
  REQUIRE_OK(history);
  CHECK(history->cells(std::nullopt)->at(0).outside_limits.empty());
  CHECK(cell_of(*history).points.size() == 1);
  CHECK_FALSE(history->add(outside, {.branch = "main"})->is_new);
  CHECK(history->cells(std::nullopt)->at(0).outside_limits == "mean KL 0.07, at most 0.05 allowed");
}

TEST_CASE("a history of a release that stored no later turns is read, and gets those of new runs") {
  const ScratchFolder scratch;
  const auto path = scratch.path() / "history.db";
  SummarizedRun conversation = run_on(1);
  conversation.summary.cells[0].conversation.emplace().later_turns_ttft_p50_ns.value = 5e6;
  {
    auto history = History::open(path, DatabaseAccess::kCreate);
    REQUIRE_OK(history);
    add(*history, conversation);
  }
  REQUIRE_OK(Database::open(path, DatabaseAccess::kWrite)
                 ->execute("ALTER TABLE cells DROP COLUMN ttft_later_p50; DROP TABLE declined"));
  auto history = History::open(path, DatabaseAccess::kWrite);
  REQUIRE_OK(history);
  CHECK_FALSE(history->cells(std::nullopt)->at(0).later_turns_ttft_p50_ns);
  add(*history, conversation);
  CHECK(history->cells(std::nullopt)->at(0).later_turns_ttft_p50_ns == 5e6);
}

TEST_CASE("a history that may only be read is read, also one of an earlier release, and stays as it is") {
  const ScratchFolder scratch;
  const auto path = scratch.path() / "history #1 %41?.db";  // characters that mean something in a URI
  SummarizedRun outside = run_on(1);
  outside.summary.cells[0].outside_limits = "mean KL 0.07, at most 0.05 allowed";
  {
    auto history = History::open(path, DatabaseAccess::kCreate);
    REQUIRE_OK(history);
    add(*history, outside);
  }
  // A link to nowhere in the place of the index that readers keep beside the file: it cannot be made, as on a read-only
  // file system.
  const std::filesystem::path index = path.string() + "-shm";
  std::filesystem::create_symlink("/nowhere/index", index);
  const auto read = [&] {
    auto history = History::open(path, DatabaseAccess::kRead);
    REQUIRE_OK(history);
    CHECK(history->runs(std::nullopt, 0)->size() == 1);
    CHECK(cell_of(*history).points.size() == 1);
    CHECK_FALSE(history->add(run_on(2), {}));
    return history->cells(std::nullopt)->at(0);
  };
  CHECK(read().outside_limits == outside.summary.cells[0].outside_limits);
  CHECK_ERROR(History::open(path, DatabaseAccess::kWrite), ErrorCode::kIo, "unable to open database file");
  std::filesystem::remove(index);
  REQUIRE_OK(
      Database::open(path, DatabaseAccess::kWrite)
          ->execute("DROP TABLE outside_limits; DROP TABLE opportunistic; DROP TABLE declined; ALTER TABLE cells "
                    "DROP COLUMN ttft_later_p50"));
  const std::string before = *read_file(path);
  std::filesystem::create_symlink("/nowhere/index", index);
  CHECK(read().outside_limits.empty());
  CHECK(*read_file(path) == before);
}

TEST_CASE("a history with changes beside it that cannot be read is refused with what to do") {
  const ScratchFolder scratch;
  const auto path = scratch.path() / "history.db";
  auto writer = History::open(path, DatabaseAccess::kCreate);
  REQUIRE_OK(writer);
  add(*writer, run_on(1));  // is in history.db-wal until the last connection ends
  const auto copy = scratch.path() / "copy.db";
  for (const char* part : {"", "-wal"}) std::filesystem::copy_file(path.string() + part, copy.string() + part);
  std::filesystem::create_symlink("/nowhere/index", copy.string() + "-shm");
  CHECK_ERROR(History::open(copy, DatabaseAccess::kRead), ErrorCode::kIo, "copy.db-wal has changes that are not in it");
}

TEST_CASE("a run that was begun in the future is refused, since it would stay the newest one") {
  const ScratchFolder scratch;
  History history = open_new(scratch);
  SummarizedRun run = run_on(1);
  run.record.started_utc = "2099-01-01T00:00:00Z";
  const auto added = history.add(run, {.branch = "main"});
  REQUIRE_FALSE(added);
  CHECK(added.error().code == ErrorCode::kInvalidInput);
  CHECK(added.error().message.find("expected a time that has come, found 2099-01-01T00:00:00Z") != std::string::npos);
  CHECK(history.runs(std::nullopt, 0)->empty());
}

TEST_CASE("a history of which rows are missing although every page can be read is refused") {
  const ScratchFolder scratch;
  const auto path = scratch.path() / "history.db";
  {
    auto history = History::open(path, DatabaseAccess::kCreate);
    REQUIRE_OK(history);
    for (int night = 0; night < 40; ++night) REQUIRE_OK(history->add(run_on(night), {.branch = "main"}));
  }
  {
    // As after a lost write, an index has an entry of a row that its table has not.
    auto database = Database::open(path, DatabaseAccess::kWrite);
    REQUIRE_OK(database);
    REQUIRE_OK(database->execute("PRAGMA writable_schema = ON"));
    REQUIRE_OK(
        database->execute("UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = "
                          "'runs') WHERE name = 'cells'"));
  }
  const auto opened = History::open(path, DatabaseAccess::kRead);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == ErrorCode::kInvalidInput);
  CHECK(opened.error().message.find("history.db: damaged: ") != std::string::npos);
}

TEST_CASE("a history cut or flipped at any page is refused or read, and never ends the program") {
  const ScratchFolder scratch;
  const auto path = scratch.path() / "history.db";
  {
    auto history = History::open(path, DatabaseAccess::kCreate);
    REQUIRE_OK(history);
    for (int night = 0; night < 40; ++night) REQUIRE_OK(history->add(run_on(night), {.branch = "main"}));
  }
  const std::string whole = *read_file(path);
  REQUIRE(whole.size() > 20'000);
  int n_refused = 0;
  for (std::size_t at = 0; at < whole.size(); at += 997) {
    std::string damaged = whole;
    if (at % 2 == 0) {
      damaged.resize(at);
    } else {
      std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>(at), std::min<std::size_t>(64, whole.size() - at),
                  '\xa5');
    }
    for (const char* side : {"-wal", "-shm"}) std::filesystem::remove(path.string() + side);
    REQUIRE_OK(write_file(path, damaged));
    const auto use = [&]() -> Result<void> {
      SS_TRY(History history, History::open(path, DatabaseAccess::kWrite));
      SS_TRY(const auto runs, history.runs(std::nullopt, 0));
      SS_TRY(const auto cell, history.cell("main", kCell, history_metrics()[0]));
      SS_TRY_VOID(history.add(run_on(100), {.branch = "main"}));
      return {};
    };
    const Result<void> used = use();
    n_refused += !used;
    if (!used) {
      CAPTURE(at, used.error().message);
      CHECK(used.error().code == ErrorCode::kInvalidInput);
    }
  }
  CHECK(n_refused > 5);
}

TEST_CASE("the published schema is that of the list as it is written today") {
  const auto published = read_file(test::source_path("reports/schemas/history.schema.json"));
  REQUIRE_OK(published);
  CHECK(*published == history_schema());
}

TEST_CASE("an export has every cell of every run, the oldest first, with figures only of those that count") {
  const ScratchFolder scratch;
  History history = open_new(scratch);
  SummarizedRun wrong = run_on(3);
  wrong.summary.cells[0].golden = GoldenVerdict::kFailed;
  wrong.summary.cells[0].tier = Tier::kOpportunistic;
  add(history, wrong);
  add(history, run_on(1));
  add(history, run_on(2), "other");
  auto cells = history.cells("main");
  REQUIRE_OK(cells);
  REQUIRE(cells->size() == 2);
  const HistoryCell& right = cells->at(0);
  CHECK(right.run_id == "0000000100000000");
  CHECK(right.bundle == "tiny");
  CHECK(right.backend == "cpu");
  CHECK(right.variant == "bf16");
  CHECK(right.scenario == "single-stream");
  CHECK(right.tier == Tier::kBlessed);
  CHECK(right.counts);
  CHECK(*right.output_tok_per_s == Approx(202));
  CHECK(*right.ttft_e2e_p50_ns == Approx(13.5e6));  // as stored, not in the unit of --metric
  CHECK_FALSE(right.ttft_e2e_p95_ns);
  CHECK(right.peak_bytes == 1300.0);
  CHECK(right.setup.find("Test CPU") != std::string::npos);
  const HistoryCell& refused = cells->at(1);
  CHECK(refused.golden == GoldenVerdict::kFailed);
  CHECK(refused.tier == Tier::kOpportunistic);
  CHECK_FALSE(refused.counts);
  CHECK_FALSE(refused.output_tok_per_s);
  CHECK_FALSE(refused.peak_bytes);
  CHECK(history.cells(std::nullopt)->size() == 3);
}

TEST_CASE("an export of a history with a verdict that is none names the run, the cell and what was expected") {
  const ScratchFolder scratch;
  {
    History history = open_new(scratch);
    add(history, run_on(1));
  }
  const auto path = scratch.path() / "deep/er/history.db";
  REQUIRE_OK(Database::open(path, DatabaseAccess::kWrite)->execute("UPDATE cells SET golden = 'splendid'"));
  auto history = History::open(path, DatabaseAccess::kWrite);
  REQUIRE_OK(history);
  CHECK_ERROR(history->cells(std::nullopt), ErrorCode::kInvalidInput,
              "run 0000000100000000: tiny/cpu/bf16/single-stream: golden: expected one of passed, failed");
}

TEST_CASE("the id of a cell is taken apart from its end, since a bundle's name may have slashes") {
  CHECK(key_of_cell("a/b/cpu/bf16/offline-b4") == CellKey{"a/b", "cpu", "bf16", "offline-b4"});
}

TEST_CASE("the published schema of an exported cell is that of the lines as they are written today") {
  const auto published = read_file(test::source_path("reports/schemas/history-cell.schema.json"));
  REQUIRE_OK(published);
  CHECK(*published == history_cell_schema());
}
