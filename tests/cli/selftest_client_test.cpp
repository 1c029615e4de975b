// Tests `secondsource selftest client`: it counts every event and refuses what it cannot measure. The status is 1 if the
// client is too slow on this machine; the tests accept that too, since they do not test its speed.

#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "expectations.h"
#include "support/catch.h"
#include "support/program.h"

namespace secondsource {
namespace {

using test::ProgramRun;
using test::run_program;

TEST_CASE("selftest client: a row for each number of streams, with every token event") {
  const ProgramRun run = run_program(
      {"selftest", "client", "--streams", "3,40", "--gap-ms", "10", "--first-ms", "20", "--seconds", "0.2"});
  CAPTURE(run.out, run.err);
  REQUIRE((run.status == 0 || run.status == 1));
  // The columns are: streams, streams open at once, gap, its unit, events, expected events, failed. Each stream has 20 tokens.
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(run.out);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::vector<std::string> row(std::istream_iterator<std::string>{words}, {});
    if (!row.empty() && (row[0] == "3" || row[0] == "40")) rows.push_back(row);
  }
  REQUIRE(rows.size() == 2);
  for (const auto& row : rows) {
    REQUIRE(row.size() > 6);
    const std::string n_events = std::to_string(20 * std::stoi(row[0]));
    CHECK(row[2] + row[3] == "10.00ms");
    CHECK(row[4] == n_events);
    CHECK(row[5] == n_events);
    CHECK(row[6] == "0");
  }
}

TEST_CASE("selftest client: what is no number of streams, rate or time is refused in one line") {
  const auto [flag, value] = GENERATE(table<std::string, std::string>(
      {{"--streams", "0"}, {"--streams", "x"}, {"--gap-ms", "0"}, {"--events", "-1"}, {"--seconds", "1e9"}}));
  const ProgramRun run = run_program({"selftest", "client", flag, value});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 2);
  CHECK(run.err.find(flag) != std::string::npos);
}

TEST_CASE("selftest client: a port is one of --serve, and refused without it; streams are refused beside it") {
  const ProgramRun run = run_program({"selftest", "client", "--port", "8000"});
  CHECK(run.status == 2);
  CHECK(run.err.find("--port: expected --serve beside it, found none") != std::string::npos);
  const ProgramRun both = run_program({"selftest", "client", "--serve", "--streams", "3"});
  CHECK(both.status == 2);
  CHECK(both.err.find(", found both") != std::string::npos);
}

}  // namespace
}  // namespace secondsource
