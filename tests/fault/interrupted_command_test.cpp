// Commands that work for long without writing anything: Ctrl-C and SIGTERM end them soon, with 130 and one line.

#include <signal.h>

#include <chrono>

#include "core/file.h"
#include "started_program.h"
#include "support/bundles.h"
#include "support/program.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

/// Two seconds are the aim; a machine that does other work as well gets more.
constexpr std::int64_t kSoonMs = 10'000;

TEST_CASE("commands that only compute end soon when they are interrupted") {
  const int signal = GENERATE(SIGINT, SIGTERM);
  const std::vector<std::string> arguments = GENERATE(
      std::vector<std::string>{"selftest", "gate", "--trials", "10000000"},
      std::vector<std::string>{"selftest", "gate", "--server-starts", "--trials", "10000000"},
      std::vector<std::string>{"selftest", "gate", "--anchor", "--trials", "10000000"},
      std::vector<std::string>{"profile", test::kTinyBundle, "--backend", "reference", "--budget", "600s"},
      std::vector<std::string>{"bundle", "accept", test::kDefaultBundle, "--backend", "reference", "--suite", "all"});
  CAPTURE(signal, arguments[0], arguments[1], arguments[2]);
  const test::ScratchFolder scratch;
  test::StartedProgram program(arguments, scratch.path());
  // Long enough that the work has begun.
  REQUIRE_FALSE(program.wait_for(1500));
  program.send_signal(signal);
  REQUIRE(program.wait_for(kSoonMs));
  CHECK(program.status() == 130);
  CHECK(program.out().empty());
  const std::string last_line = "secondsource: interrupted\n";
  CAPTURE(program.err());
  CHECK(program.err().ends_with(last_line));
}

}  // namespace
}  // namespace secondsource
