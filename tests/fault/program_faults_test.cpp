// Lets one system call or allocation of the program fail: it must end with one of its exit statuses and one line, and the
// report that it was writing is either the old or the new one.

#include <set>

#include "core/file.h"
#include "core/folder.h"
#include "support/program.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "unit/summary/sample_run.h"

namespace secondsource::test {
namespace {

namespace fs = std::filesystem;

void write_run(const fs::path& folder) {
  fs::create_directories(folder);
  std::string lines;
  for (const JournalLine& line : hand_made_journal(2, 3).lines) lines += to_json_line(line) + "\n";
  REQUIRE_OK(write_record(folder / "run.json", hand_made_record(2)));
  REQUIRE_OK(write_file(folder / "samples.jsonl", lines));
}

enum class Target : std::uint8_t { kCalls, kAllocations };

/// Runs the program and lets its nth system call on files of `folder`, or its nth allocation, fail.
ProgramRun run_disturbed(const std::vector<std::string>& arguments, const fs::path& folder, Target target, long nth,
                         const fs::path& count = {}) {
  return run_program(arguments, {.environment = {{"LD_PRELOAD", SS_SHIM},
                                                 {"SS_SHIM_FOLDER", folder.string()},
                                                 {"SS_SHIM_TARGET", target == Target::kCalls ? "calls" : "allocations"},
                                                 {"SS_SHIM_NTH", std::to_string(nth)},
                                                 {"SS_SHIM_COUNT", count.string()}}});
}

TEST_CASE("report --out survives any one failure with the old or the new report and a status of its own") {
  const ScratchFolder scratch;
  const ScratchFolder elsewhere;
  const fs::path run = scratch.path() / "run";
  const fs::path out = scratch.path() / "report.html";
  const fs::path count = elsewhere.path() / "count";
  write_run(run);
  const std::vector<std::string> arguments = {"report", run.string(), "--format", "html", "--out", out.string()};
  REQUIRE(run_program(arguments).status == 0);
  const std::string after = read_file(out).value();
  const std::string before = "the report of yesterday";
  for (const Target target : {Target::kCalls, Target::kAllocations}) {
    REQUIRE(run_disturbed(arguments, scratch.path(), target, -1, count).status == 0);
    const long n_places = std::stol(read_file(count).value());
    CAPTURE(static_cast<int>(target), n_places);
    CHECK(n_places > 10);
    // Tests every system call, but only about a hundred of the thousands of allocations.
    const long step = target == Target::kCalls ? 1 : n_places / 100 + 1;
    int n_refused = 0;
    for (long nth = 0; nth < n_places; nth += step) {
      REQUIRE_OK(write_file(out, before));
      const ProgramRun program = run_disturbed(arguments, scratch.path(), target, nth);
      CAPTURE(nth, program.status, program.err);
      // Two libraries end the process if an allocation fails: the destructor of a JSON tree aborts, and OpenSSL 3.0 uses a
      // null lock during its initialization.
      constexpr int kAborted = 134;
      constexpr int kCrashed = 139;
      const bool is_ended_by_library =
          target == Target::kAllocations && std::set{kAborted, kCrashed}.contains(program.status);
      REQUIRE((is_ended_by_library || std::set{0, 2, 4, 70}.contains(program.status)));
      if (program.status != 0 && !is_ended_by_library) REQUIRE(is_one_line(program.err));
      const std::string found = read_file(out).value();
      REQUIRE((found == after || (found == before && program.status != 0)));
      n_refused += program.status != 0 ? 1 : 0;
    }
    CHECK(n_refused > 3);
  }
  REQUIRE_OK(write_file(out, before));
  CHECK(list_folder(scratch.path()).value().size() == 2);
}

}  // namespace
}  // namespace secondsource::test
