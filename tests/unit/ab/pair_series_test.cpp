#include "ab/pair_series.h"

#include <cmath>

#include "ab/ab_session.h"
#include "pair_lines.h"
#include "support/catch.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("pairs become a series a cell and metric, as logarithms of candidate / base") {
  const std::vector<ProcessLine> lines = pair_lines(3, 0.5);
  const auto series = series_of(lines, "cpu/bf16");
  REQUIRE(series.size() == 2);
  CHECK(series[0].metric == "cost");
  CHECK(series[1].metric == "ttft");
  CHECK(series[0].cell == tiny_cell());
  CHECK(series[0].differences()[0] == Approx(std::log(1.5)));
  CHECK(n_whole_pairs(lines, "cpu/bf16") == 3);
  CHECK(series_of(lines, "cpu/int8").empty());
  CHECK(pool_of(lines).size() == 3);
  CHECK(pool_of(lines)[0].size() == 2);
}

TEST_CASE("half a pair and a failed process do not count, another attempt does") {
  std::vector<ProcessLine> lines = pair_lines(2, 0);
  lines.push_back(process_line(2, Arm::kBase, 7, 7));
  CHECK(n_whole_pairs(lines, "cpu/bf16") == 2);
  ProcessLine failed = process_line(2, Arm::kCandidate, 9, 9);
  failed.failure = "INVALID: page faults";
  lines.push_back(failed);
  CHECK(n_whole_pairs(lines, "cpu/bf16") == 2);
  for (const Arm arm : {Arm::kBase, Arm::kCandidate}) {
    lines.push_back(process_line(2, arm, 1, 1));
    lines.back().attempt = 1;
  }
  CHECK(n_whole_pairs(lines, "cpu/bf16") == 3);
  CHECK(series_of(lines, "cpu/bf16")[0].base_s[2] == 1);
}

TEST_CASE("processes of two attempts do not make a pair") {
  std::vector<ProcessLine> lines = {process_line(0, Arm::kBase, 1, 1), process_line(0, Arm::kCandidate, 1, 1)};
  lines[1].attempt = 1;
  CHECK(n_whole_pairs(lines, "cpu/bf16") == 0);
}

TEST_CASE("after six pairs there is a forecast, before there is none") {
  const AbRecord record = tiny_record({14, 28});
  CHECK(forecast(record, pair_lines(5, 0)).empty());
  const auto text = forecast(record, pair_lines(6, 0));
  REQUIRE(text.size() == 2);
  CHECK(text[0].find("tiny/cpu/bf16/single-stream cost: one process varies by 0.") == 0);
  // Each process takes 2.5 s, so that 28 pairs take 140 s and 14 pairs 70 s.
  CHECK(text[0].find("28 pairs can show a slowdown of 11 % and take 2 min") != std::string::npos);
  CHECK(text[0].find("the comparison ends after about 70 s") != std::string::npos);
}

TEST_CASE("when the time is over, the next look is brought forward and is the last") {
  AbRecord record = tiny_record({14, 28});
  record.max_time_s = 100;
  record.prepared_s = 5;
  // A pair takes 5 s, so that 19 pairs fit behind the 5 s of preparation.
  CHECK_FALSE(is_time_up(record, pair_lines(18, 0)));
  CHECK(is_time_up(record, pair_lines(19, 0)));
  CHECK(gate_of(record, pair_lines(18, 0), record.stints[0]).plan().looks == std::vector<std::int64_t>{14, 28});
  CHECK(gate_of(record, pair_lines(19, 0), record.stints[0]).plan().looks == std::vector<std::int64_t>{14, 19});
  record.max_time_s = 30;
  CHECK(gate_of(record, pair_lines(5, 0), record.stints[0]).plan().looks == std::vector<std::int64_t>{5});
  record.max_time_s = 0;
  CHECK_FALSE(is_time_up(record, pair_lines(28, 0)));
}

TEST_CASE(
    "a comparison is measured when every cell has a verdict, the plan or the time is at its end, or a side gave up") {
  AbRecord record = tiny_record({14, 28});
  CHECK_FALSE(is_measured(record, {}));
  CHECK_FALSE(is_measured(record, pair_lines(13, 0)));
  CHECK(is_measured(record, pair_lines(14, 0)));
  std::vector<ProcessLine> crashed = pair_lines(3, 0);
  for (int attempt = 0; attempt < 2; ++attempt) {
    crashed.push_back(process_line(3, Arm::kCandidate, 1, 1));
    crashed.back().attempt = attempt;
    crashed.back().failure = "exit status 4: crash";
  }
  CHECK(is_measured(record, crashed));
  record.max_time_s = 29;  // five pairs take 25 s, and another one 5 s
  CHECK(is_measured(record, pair_lines(5, 0)));
  record.stints.clear();
  CHECK(is_measured(record, {}));
}

TEST_CASE("opportunistic variants take no part of the permitted false alarms") {
  AbRecord record = tiny_record({14, 28});
  const double alone = gate_of(record).alpha();
  record.stints.push_back({"cpu", "int4"});
  CHECK(gate_of(record).alpha() == Approx(alone / 2));
  record.opportunistic = {"int4"};
  CHECK(gate_of(record).alpha() == Approx(alone));
}
