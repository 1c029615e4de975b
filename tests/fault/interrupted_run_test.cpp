// A run that is killed, interrupted or out of disk at any moment must continue where it stopped, without lost or
// repeated measurements.

#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "core/file.h"
#include "core/random.h"
#include "record/record_json.h"
#include "started_program.h"
#include "support/bundles.h"
#include "support/program.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

using test::kTinyBundle;

std::vector<std::string> run_arguments(const std::filesystem::path& folder) {
  return {"run", kTinyBundle, "--backend", "reference", "--variant", "bf16,int8", "--scenario",
          "single-stream@/8,offline:4@/8,server:4@/4", "--repetitions", "2", "--seed", "5",
          // A large budget keeps cells from ending early on a busy machine, which would be correct but is not tested
          // here.
          "--cell-budget", "1h", "--out", folder.string()};
}

/// True if everything was measured. Status 6 is accepted too: it means that other load on the machine made a measurement
/// invalid.
bool is_complete(int status) {
  return status == 0 || status == 6;
}

std::vector<std::string> resume_arguments(const std::filesystem::path& folder) {
  return {"run", "--resume", folder.string()};
}

/// Checks that every planned request occurs exactly once, every repetition ends exactly once, and every variant has one
/// golden verdict.
void check_complete(const std::filesystem::path& folder) {
  const auto stored = read_run(folder);
  REQUIRE_OK(stored);
  CHECK_FALSE(stored->journal.torn_tail);
  std::set<std::tuple<std::string, int, int>> samples;
  std::set<std::pair<std::string, int>> ends;
  int n_golden = 0;
  for (const JournalLine& line : stored->journal.lines) {
    if (const auto* sample = std::get_if<RequestSample>(&line)) {
      CAPTURE(sample->cell, sample->repetition, sample->request);
      CHECK(samples.emplace(sample->cell, sample->repetition, sample->request).second);
    } else if (const auto* end = std::get_if<Repetition>(&line)) {
      CAPTURE(end->cell, end->repetition);
      CHECK(ends.emplace(end->cell, end->repetition).second);
      for (const CheckRecord& check : end->checks) {
        // Other checks depend on the load of the machine and are ignored here.
        if (check.name == "requests" || check.name == "tokens") CHECK(check.outcome == CheckOutcome::kPassed);
      }
    } else if (std::holds_alternative<GoldenRecord>(line)) {
      ++n_golden;
    } else {
      FAIL_CHECK("a failure in the journal: " << to_json_line(line));
    }
  }
  std::size_t n_samples = 0;
  std::size_t n_ends = 0;
  for (const PlannedCell& cell : stored->record.cells) {
    n_samples += static_cast<std::size_t>(cell.repetitions) * static_cast<std::size_t>(cell.scenario.n_requests);
    n_ends += static_cast<std::size_t>(cell.repetitions);
  }
  CHECK(samples.size() == n_samples);
  CHECK(ends.size() == n_ends);
  CHECK(n_golden == 2);
  CHECK(std::filesystem::exists(folder / "summary.json"));
}

/// The lines that resumption must keep. A single-stream sample is kept once it is on the disk. Samples of other scenarios
/// may be cut off.
std::vector<std::string> lasting_lines(const std::filesystem::path& folder) {
  std::vector<std::string> lines;
  std::ifstream file(folder / "samples.jsonl");
  for (std::string line; std::getline(file, line) && !file.eof();) {
    if (line.find("single-stream") != std::string::npos || line.find("\"sample\"") == std::string::npos) {
      lines.push_back(line);
    }
  }
  return lines;
}

TEST_CASE("kill -9 at random moments, then --resume: complete, nothing lost, nothing twice") {
  const test::ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  RandomStream random(20261120);
  int n_killed = 0;
  bool done = false;
  std::vector<std::string> before;
  while (!done) {
    const bool begun = std::filesystem::exists(folder / "run.json");
    test::StartedProgram program(begun ? resume_arguments(folder) : run_arguments(folder), scratch.path());
    // After 12 kills, the program may run to its end.
    const std::int64_t patience_ms = n_killed < 12 ? 50 + static_cast<std::int64_t>(random.next_below(900)) : 300'000;
    if (program.wait_for(patience_ms)) {
      CAPTURE(program.err());
      REQUIRE(is_complete(program.status()));
      done = true;
    } else {
      const std::vector<pid_t> workers = program.children();
      program.send_signal(SIGKILL);
      CHECK(program.status() == 137);
      ++n_killed;
      // The worker dies with its parent.
      for (const pid_t worker : workers) {
        for (int attempt = 0; attempt < 500 && test::is_running(worker); ++attempt) ::usleep(10'000);
        CHECK_FALSE(test::is_running(worker));
      }
    }
    const std::vector<std::string> after = lasting_lines(folder);
    REQUIRE(after.size() >= before.size());
    CHECK(std::equal(before.begin(), before.end(), after.begin()));
    before = after;
  }
  CAPTURE(n_killed);
  CHECK(n_killed >= 10);
  check_complete(folder);
  // Resuming a finished run measures nothing and gives the same result.
  const test::ProgramRun again = test::run_program(resume_arguments(folder));
  CHECK(is_complete(again.status));
  CHECK(lasting_lines(folder) == before);
}

TEST_CASE("Ctrl-C and a closed terminal end with 130 and a line that says how to go on") {
  const int signal = GENERATE(SIGINT, SIGTERM, SIGHUP);
  CAPTURE(signal);
  const test::ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  {
    test::StartedProgram program(run_arguments(folder), scratch.path());
    while (!std::filesystem::exists(folder / "samples.jsonl") && !program.wait_for(5)) {
    }
    program.wait_for(300);
    program.send_signal(signal);
    // The shell and the kernel each say that a terminal was closed.
    if (signal == SIGHUP) program.send_signal(signal);
    CHECK(program.status() == 130);
    CHECK(program.err().find("secondsource run --resume " + folder.string()) != std::string::npos);
  }
  const test::ProgramRun resumed = test::run_program(resume_arguments(folder));
  CAPTURE(resumed.err);
  CHECK(is_complete(resumed.status));
  check_complete(folder);
}

TEST_CASE("under nohup a run goes on when its terminal is closed") {
  const test::ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  const auto before = ::signal(SIGHUP, SIG_IGN);
  test::StartedProgram program(run_arguments(folder), scratch.path());
  ::signal(SIGHUP, before);
  while (!std::filesystem::exists(folder / "samples.jsonl") && !program.wait_for(5)) {
  }
  program.send_signal(SIGHUP);
  CAPTURE(program.err());
  CHECK(is_complete(program.status()));
  check_complete(folder);
}

/// Waits up to five seconds until /proc/PID/stat shows this state.
bool gets_state(pid_t pid, char state) {
  for (int attempt = 0; attempt < 2500; ++attempt) {
    if (test::state_of(pid) == state) return true;
    ::usleep(2'000);
  }
  return false;
}

/// Waits until the run has a worker. Before the journal exists, child processes only examine modules.
void wait_for_worker(test::StartedProgram& program, const std::filesystem::path& folder) {
  while ((!std::filesystem::exists(folder / "samples.jsonl") || program.children().empty()) && !program.wait_for(2)) {
  }
}

TEST_CASE("Ctrl-Z stops the worker too, and a run that goes on after its deadlines is whole") {
  const test::ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  std::vector<std::string> arguments = run_arguments(folder);
  for (const char* const more : {"--step-deadline", "6s"}) arguments.emplace_back(more);
  test::StartedProgram program(arguments, scratch.path());
  for (int pause = 0; pause < 2; ++pause) {
    wait_for_worker(program, folder);
    REQUIRE_FALSE(program.wait_for(300));
    const std::vector<pid_t> workers = program.children();
    program.send_signal(SIGTSTP);
    REQUIRE(gets_state(program.pid(), 'T'));
    for (const pid_t worker : workers) CHECK((gets_state(worker, 'T') || !test::is_running(worker)));
    ::sleep(8);  // past the deadline of a step
    CHECK_FALSE(program.wait_for(0));
    program.send_signal(SIGCONT);
  }
  CAPTURE(program.err());
  CHECK(is_complete(program.status()));
  check_complete(folder);
}

TEST_CASE("a run that was stopped by SIGSTOP does not call its worker hung") {
  const test::ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  std::vector<std::string> arguments = run_arguments(folder);
  for (const char* const more : {"--step-deadline", "6s"}) arguments.emplace_back(more);
  test::StartedProgram program(arguments, scratch.path());
  wait_for_worker(program, folder);
  REQUIRE_FALSE(program.wait_for(300));
  program.send_signal(SIGSTOP);
  REQUIRE(gets_state(program.pid(), 'T'));
  ::sleep(8);
  program.send_signal(SIGCONT);
  CAPTURE(program.err());
  CHECK(is_complete(program.status()));
  check_complete(folder);
}

TEST_CASE("--retry-failed measures what failed, and without it a resumed run leaves that alone") {
  const test::ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  const auto failures_of = [](const test::ProgramRun& run) {
    return nlohmann::json::parse(run.out)["summary"]["failures"].size();
  };
  {
    test::StartedProgram program(run_arguments(folder), scratch.path());
    wait_for_worker(program, folder);
    REQUIRE(::kill(program.children().at(0), SIGKILL) == 0);
    CHECK(program.status() == 4);
  }
  const test::ProgramRun left_alone = test::run_program({"run", "--resume", folder.string(), "--json"});
  CAPTURE(left_alone.err);
  CHECK(left_alone.status == 4);
  CHECK(failures_of(left_alone) == 1);
  const test::ProgramRun retried = test::run_program({"run", "--resume", folder.string(), "--retry-failed", "--json"});
  CAPTURE(retried.err);
  CHECK(is_complete(retried.status));
  CHECK(failures_of(retried) == 0);
  const test::ProgramRun alone = test::run_program({"run", kTinyBundle, "--retry-failed"});
  CHECK(alone.status == 2);
  CHECK(alone.err.find("--retry-failed: expected --resume") != std::string::npos);
}

TEST_CASE("a disk that fills up ends with 70, keeps what was measured, and the run goes on when there is room") {
  const test::ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  int n_full = 0;
  // The limits leave room for the run's record, then for more and more of the journal.
  for (const std::int64_t limit : {16'000, 20'000, 30'000}) {
    const bool begun = std::filesystem::exists(folder / "run.json");
    test::StartedProgram program(begun ? resume_arguments(folder) : run_arguments(folder), scratch.path(), limit);
    CAPTURE(limit, program.err());
    const int status = program.status();
    CHECK((status == 70 || is_complete(status)));
    if (status == 70) ++n_full;
    if (std::filesystem::exists(folder / "samples.jsonl")) {
      const auto stored = read_run(folder);
      REQUIRE_OK(stored);
      CHECK_FALSE(stored->journal.torn_tail);
    }
  }
  CHECK(n_full > 0);
  const test::ProgramRun resumed = test::run_program(
      std::filesystem::exists(folder / "run.json") ? resume_arguments(folder) : run_arguments(folder));
  CAPTURE(resumed.err);
  CHECK(is_complete(resumed.status));
  check_complete(folder);
}

TEST_CASE("a run whose bundle changed is not resumed") {
  const test::ScratchFolder scratch;
  const std::filesystem::path bundle = scratch.path() / "bundle";
  std::filesystem::copy(kTinyBundle, bundle, std::filesystem::copy_options::recursive);
  const std::filesystem::path folder = scratch.path() / "run";
  const test::ProgramRun first =
      test::run_program({"run", bundle.string(), "--backend", "reference", "--variant", "bf16", "--scenario",
                         "single-stream@/2", "--repetitions", "1", "--out", folder.string()});
  CAPTURE(first.err);
  REQUIRE(first.status == 0);
  std::ofstream(bundle / "manifest.yaml", std::ios::app) << "# changed\n";
  const test::ProgramRun resumed = test::run_program(resume_arguments(folder));
  CHECK(resumed.status == 6);
  CHECK(test::is_one_line(resumed.err));
  CHECK(resumed.err.find("bundle tiny-gqa8-hd64 changed") != std::string::npos);
}

TEST_CASE("two processes cannot write one run") {
  const test::ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  test::StartedProgram program(run_arguments(folder), scratch.path());
  while (!std::filesystem::exists(folder / "run.json") && !program.wait_for(5)) {  // written after the lock is taken
  }
  const test::ProgramRun second = test::run_program(resume_arguments(folder));
  CHECK(second.status == 2);
  CHECK(second.err.find("another process is writing") != std::string::npos);
}

}  // namespace
}  // namespace secondsource
