// Tests `secondsource history` add, list, plot, check, prune and pin, by one process and by several at once.

#include "history/history.h"

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/file.h"
#include "expectations.h"
#include "support/program.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "unit/history/run_on.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

const std::string kCell = "tiny/cpu/bf16/single-stream";

std::string stored_night(const ScratchFolder& scratch, int night, double slowdown = 1.0) {
  const auto folder = scratch.path() / fmt::format("night-{}", night);
  store_night(folder, night, slowdown);
  return folder.string();
}

ProgramRun history(const ScratchFolder& scratch, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "history");
  arguments.insert(arguments.end(), {"--db", (scratch.path() / "history.db").string()});
  return run_program(arguments);
}

std::int64_t runs_in_order_of(const ScratchFolder& scratch) {
  return runs_in_order(scratch.path() / "history.db");
}

}  // namespace

TEST_CASE("history: runs are added, listed, plotted, pinned, checked and pruned") {
  const ScratchFolder scratch;
  std::vector<std::string> arguments = {"add"};
  for (int night = 0; night < 12; ++night) arguments.push_back(stored_night(scratch, night, night < 6 ? 1.0 : 1.3));
  ProgramRun run = history(scratch, arguments);
  CAPTURE(run.out, run.err);
  CHECK(run.status == 0);
  CHECK(run.out == "12 added, 0 brought up to date\n");
  CHECK(history(scratch, {"add", stored_night(scratch, 3)}).out == "0 added, 1 brought up to date\n");

  run = history(scratch, {"list", "--limit", "2"});
  CHECK(run.status == 0);
  CHECK(contains(run.out, "0000000b00000000  2023-11-25T22:13:20Z  main"));
  CHECK_FALSE(contains(run.out, "0000000900000000"));
  const auto listed = nlohmann::json::parse(history(scratch, {"list", "--json", "--limit", "0"}).out, nullptr, false);
  REQUIRE(listed.is_array());
  CHECK(listed.size() == 12);
  CHECK(listed[0]["n_counted"] == 1);

  const std::string svg = (scratch.path() / "trend.svg").string();
  CHECK(history(scratch, {"plot", "--cell", kCell, "--metric", "ttft_p50", "--out", svg}).status == 0);
  CHECK(contains(*read_file(svg), "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\""));
  CHECK(contains(*read_file(svg), "+30."));
  run = history(scratch, {"plot"});
  CHECK(contains(run.out, "<!doctype html>"));
  CHECK(contains(run.out, kCell));

  CHECK(history(scratch, {"check"}).status == 6);  // nothing is pinned
  run = history(scratch, {"pin", "00000000", "00000001", "00000002", "00000003", "00000004"});
  CHECK(run.status == 0);
  CHECK(contains(run.out, "branch main: pinned"));
  // A pinned run stays on its branch unless one is named.
  CHECK(history(scratch, {"add", stored_night(scratch, 3), "--label", "v1"}).out == "0 added, 1 brought up to date\n");
  CHECK(history(scratch, {"add", stored_night(scratch, 3), "--branch", "topic"}).out ==
        "0 added, 1 brought up to date\n0000000300000000 is pinned, and moved from branch main to topic, whose anchor "
        "it is part of now\n");
  CHECK(contains(history(scratch, {"list", "--branch", "topic"}).out, "v1, pinned"));
  CHECK(history(scratch, {"add", stored_night(scratch, 3), "--branch", "main"}).status == 0);
  run = history(scratch, {"check", "--recent", "6"});
  CHECK(run.status == 1);
  CHECK(contains(run.out, "REGRESSED"));
  CHECK(contains(run.out, kCell));

  CHECK(history(scratch, {"prune", "--keep", "1", "--dry-run"}).out.ends_with("6 runs would be removed\n"));
  CHECK(history(scratch, {"prune", "--keep", "1"}).out.ends_with("6 runs removed\n"));
  CHECK(runs_in_order_of(scratch) == 6);
  CHECK(history(scratch, {"prune", "--older-than", "1"}).out == "0000000b00000000\n1 run removed\n");
  CHECK(runs_in_order_of(scratch) == 5);
  // A row of a release that took any time does not stop an export, and can be removed.
  REQUIRE_OK(Database::open(scratch.path() / "history.db", DatabaseAccess::kWrite)
                 ->execute("UPDATE runs SET started_utc = '2026-02-30T00:00:00Z' WHERE run_id LIKE '00000001%'"));
  run = history(scratch, {"export", "--format", "openmetrics"});
  CHECK(run.status == 0);
  CHECK(contains(run.out, "# EOF"));
  CHECK(contains(run.err, "run 0000000100000000 is left out"));
  check_refused(history(scratch, {"prune", "--run", "00000000"}), "history pin --remove 0000000000000000");
  CHECK(history(scratch, {"pin", "--remove", "00000000"}).status == 0);
  CHECK(history(scratch, {"prune", "--run", "00000000", "--dry-run"}).out.ends_with("1 run would be removed\n"));
  CHECK(history(scratch, {"prune", "--older-than", "1"}).out.ends_with("1 run removed\n"));
}

TEST_CASE("history: a check names wrong tokens and failed cells of the newest runs, and ends with 3 and 4") {
  const ScratchFolder scratch;
  {
    auto file = History::open(scratch.path() / "history.db", DatabaseAccess::kCreate);
    REQUIRE_OK(file);
    for (int night = 0; night < 12; ++night) {
      SummarizedRun run = run_on(night);
      if (night == 11) run.summary.cells[0].golden = GoldenVerdict::kFailed;
      REQUIRE_OK(file->add(run, {.branch = "main"}));
      if (night < 5) REQUIRE_OK(file->pin({run.record.run_id}, true));
    }
  }
  ProgramRun run = history(scratch, {"check"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 3);
  CHECK(contains(run.out, "wrong tokens: " + kCell + ": in 1 of the 7 newest runs"));
  {
    auto file = History::open(scratch.path() / "history.db", DatabaseAccess::kWrite);
    REQUIRE_OK(file);
    SummarizedRun failed = run_on(11);
    failed.summary.cells[0].status = CellStatus::kFailed;
    REQUIRE_OK(file->add(failed, {.branch = "main"}));
  }
  run = history(scratch, {"check"});
  CHECK(run.status == 4);
  CHECK(contains(run.out, "not measured: " + kCell + ": failed in the newest run"));
}

TEST_CASE("history: a report draws the cells that the history has, and names the others") {
  const ScratchFolder scratch;
  const std::string night = stored_night(scratch, 1);
  REQUIRE(history(scratch, {"add", night}).status == 0);
  const auto page_of = [&](const char* branch) {
    const ProgramRun run = run_program({"report", night, "--history", (scratch.path() / "history.db").string(),
                                        "--branch", branch, "--format", "html"});
    CAPTURE(run.err);
    CHECK(run.status == 0);
    return run.out;
  };
  const std::string absent = "tiny/cpu/bf16/single-stream: not in branch other of the history";
  CHECK_FALSE(contains(page_of("main"), "not in branch"));
  CHECK(contains(page_of("main"), "id=\"history\""));
  CHECK(contains(page_of("other"), absent));
  check_refused(run_program({"report", night, "--history", scratch.path().string(), "--format", "html"}),
                "expected the file of a history, found a folder");
}

TEST_CASE("history: the default file is in the user's data folder") {
  const ScratchFolder scratch;
  const ProgramOptions options{.environment = {{"XDG_DATA_HOME", scratch.path().string()}}};
  CHECK(run_program({"history", "add", stored_night(scratch, 1)}, options).status == 0);
  CHECK(std::filesystem::exists(scratch.path() / "secondsource/history.db"));
  CHECK(contains(run_program({"history", "list"}, options).out, "0000000100000000"));
}

TEST_CASE("history: bad input is one line and status 2") {
  const ScratchFolder scratch;
  const auto refused = [&](const std::vector<std::string>& arguments, const char* part) {
    check_refused(history(scratch, arguments), part);
  };
  refused({"list"}, "there is no history");
  refused({"add", (scratch.path() / "nowhere").string()}, "run.json");
  refused({"add", stored_night(scratch, 1), scratch.path().string()}, "run.json");
  CHECK_FALSE(std::filesystem::exists(scratch.path() / "history.db"));
  refused({"list"}, "there is no history");
  const std::string undated = stored_night(scratch, 2);
  for (const char* bad : {"2026-02-30T00:00:00Z", "2026-11-20T23:59:60Z", ""}) {
    RunRecord record = run_on(2).record;
    record.started_utc = bad;
    REQUIRE_OK(write_file(std::filesystem::path(undated) / "run.json", to_json(record)));
    refused({"add", undated}, "run.json: started_utc: expected a time such as 2026-11-20T07:43:00Z");
    check_refused(run_program({"report", undated}), "run.json: started_utc: expected a time");
  }
  REQUIRE(history(scratch, {"add", stored_night(scratch, 1)}).status == 0);
  refused({"prune"}, "expected --keep, --older-than or --run");
  // 2147483647 days ago is in no calendar; the date once came out as one in the future, and every run was removed.
  refused({"prune", "--older-than", "2147483647"}, "--older-than");
  CHECK(runs_in_order_of(scratch) == 1);
  refused({"pin", "ffff"}, "expected one run of this id, found none");
  refused({"plot", "--cell", "a/b/c/d"}, "no cell a/b/c/d");
  refused({"plot", "--branch", "other"}, "branch other has no runs");
  for (const char* command : {"list", "export"}) {
    const ProgramRun other = history(scratch, {command, "--branch", "other"});
    CHECK(other.status == 0);
    CHECK(contains(other.err, "no run of branch other is stored; there are runs of main"));
  }
  CHECK(history(scratch, {"list", "--branch", "main"}).status == 0);
  CHECK(history(scratch, {"plot", "--metric", "beauty"}).status == 2);
  REQUIRE(history(scratch, {"prune", "--run", "00000001"}).status == 0);
  const ProgramRun empty = history(scratch, {"list", "--branch", "other"});
  CHECK(empty.status == 0);
  CHECK(contains(empty.err, "no run is stored in this history"));
  REQUIRE_OK(write_file(scratch.path() / "history.db", std::string(8192, 'x')));
  for (const char* side : {"-wal", "-shm"})
    std::filesystem::remove(scratch.path() / (std::string("history.db") + side));
  refused({"list"}, "expected a history, found a damaged or foreign file");
  refused({"add", stored_night(scratch, 1)}, "expected a history, found a damaged or foreign file");
}

TEST_CASE("history: processes that write at the same time lose nothing, from the first that makes the file") {
  const ScratchFolder scratch;
  constexpr int kWriters = 4;
  constexpr int kRuns = 12;  // runs per writer
  std::vector<std::string> folders;
  for (int night = 0; night < kWriters * kRuns; ++night) folders.push_back(stored_night(scratch, night));
  std::atomic<int> n_failed = 0;
  std::atomic<bool> done = false;
  std::vector<std::thread> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      // Half of the runs are added by one process each, the others by a single process.
      std::vector<std::string> together = {"add"};
      for (int i = 0; i < kRuns; ++i) {
        const std::string& folder = folders[static_cast<std::size_t>(writer * kRuns + i)];
        if (i % 2 == 0) n_failed += history(scratch, {"add", folder}).status != 0;
        if (i % 2 == 1) together.push_back(folder);
      }
      n_failed += history(scratch, together).status != 0;
    });
  }
  std::thread reader([&] {
    while (!done) {
      if (std::filesystem::exists(scratch.path() / "history.db")) n_failed += history(scratch, {"list"}).status != 0;
    }
  });
  for (std::thread& writer : writers) writer.join();
  done = true;
  reader.join();
  CHECK(n_failed == 0);
  CHECK(runs_in_order_of(scratch) == kWriters * kRuns);
}
