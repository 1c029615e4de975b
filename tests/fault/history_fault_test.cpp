// A process is killed or runs out of disk while it writes a history. The history must have complete runs only, and no
// added run may be lost.

#include <signal.h>

#include "core/random.h"
#include "started_program.h"
#include "support/program.h"
#include "support/scratch_folder.h"
#include "unit/history/run_on.h"

namespace secondsource {
namespace {

/// Stores the runs of the nights [begin, end) and returns the arguments of `history add` that add them to history.db in order.
std::vector<std::string> adding(const test::ScratchFolder& scratch, int begin, int end) {
  std::vector<std::string> arguments = {"history", "add", "--db", (scratch.path() / "history.db").string()};
  for (int night = begin; night < end; ++night) {
    const auto folder = scratch.path() / fmt::format("night-{}", night);
    test::store_night(folder, night);
    arguments.push_back(folder.string());
  }
  return arguments;
}

TEST_CASE("history: kill -9 while it writes leaves whole runs, and the next process goes on") {
  const test::ScratchFolder scratch;
  const std::filesystem::path path = scratch.path() / "history.db";
  const std::vector<std::string> arguments = adding(scratch, 0, 60);
  RandomStream random(20261120);
  std::int64_t before = 0;
  for (int round = 0; round < 8; ++round) {
    test::StartedProgram program(arguments, scratch.path());
    program.wait_for(5 + static_cast<std::int64_t>(random.next_below(150)));
    program.send_signal(SIGKILL);
    program.status();
    if (!std::filesystem::exists(path)) continue;
    const std::int64_t n_runs = test::runs_in_order(path);
    CHECK(n_runs >= before);
    before = n_runs;
  }
  REQUIRE(test::run_program(arguments).status == 0);
  CHECK(test::runs_in_order(path) == 60);
}

TEST_CASE("history: a full disk is status 70 with one line, and what was there stays") {
  const test::ScratchFolder scratch;
  const std::filesystem::path path = scratch.path() / "history.db";
  REQUIRE(test::run_program(adding(scratch, 0, 8)).status == 0);
  const std::vector<std::string> more = adding(scratch, 8, 300);
  {
    const auto limit = static_cast<std::int64_t>(std::filesystem::file_size(path)) + 32'768;
    test::StartedProgram program(more, scratch.path(), limit);
    CHECK(program.status() == 70);
    CAPTURE(program.err());
    CHECK(test::is_one_line(program.err()));
    CHECK(program.err().find("history.db: SQLite: ") != std::string::npos);
  }
  const std::int64_t n_kept = test::runs_in_order(path);
  CHECK(n_kept >= 8);
  CHECK(n_kept < 300);
  REQUIRE(test::run_program(more).status == 0);
  CHECK(test::runs_in_order(path) == 300);
}

}  // namespace
}  // namespace secondsource
