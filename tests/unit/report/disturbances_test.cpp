// Expected figures are worked by hand from the definitions in disturbances.h.

#include "report/disturbances.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "report/csv.h"
#include "report/junit.h"
#include "report/notes.h"
#include "report/overview.h"
#include "report/tables.h"
#include "support/catch.h"
#include "support/text_parts.h"

namespace secondsource {
namespace {

using test::contains;

/// A cell of 1000 tok/s, whose repetitions differ by the share `spread`, with a TTFT of 10 ms that is known within 1 %.
CellSummary cell_of(const std::string& scenario, double spread, std::vector<CheckRecord> checks,
                    std::optional<double> time_lost = {}) {
  CellSummary cell;
  cell.key = {"tiny", "cpu", "int8", scenario};
  cell.golden = GoldenVerdict::kPassed;
  cell.status = CellStatus::kComplete;
  cell.n_repetitions = 3;
  cell.output_tok_per_s = {.value = 1000, .low = {}, .high = {}, .n = 3, .why_not = "3 repetitions"};
  cell.output_tok_per_s_by_repetition = {1000 * (1 - spread), 1000, 1000 * (1 + spread)};
  cell.ttft_e2e_p50_ns = {.value = 10e6, .low = 9.9e6, .high = 10.1e6, .n = 80, .why_not = ""};
  cell.checks = std::move(checks);
  cell.time_lost = time_lost;
  return cell;
}

CheckRecord suspect(const std::string& name) {
  return {name, CheckOutcome::kSuspect, name + " of 7 %"};
}

SummarizedRun run_of(std::vector<CellSummary> cells) {
  SummarizedRun run;
  run.summary.cells = std::move(cells);
  return run;
}

std::vector<std::string> golden_column(const SummarizedRun& run) {
  std::vector<std::string> texts;
  const TextTable table = results_table({&run, 1});
  for (const std::vector<std::string>& row : table.rows) texts.push_back(row[*table.verdict_column]);
  return texts;
}

}  // namespace

TEST_CASE("a row is marked suspect where its repetitions differ by more than 5 %, or 5 % of its time was lost") {
  CellSummary unknown = cell_of("d", 0, {suspect("steal")});
  unknown.ttft_e2e_p50_ns = {};
  unknown.output_tok_per_s_by_repetition = {1000};
  CellSummary slow_start = cell_of("e", 0.01, {suspect("steal")});
  slow_start.ttft_p50_ns_by_repetition = {10e6, 10e6, 11e6};
  const SummarizedRun run =
      run_of({cell_of("a", 0.04, {suspect("steal")}), cell_of("b", 0.06, {suspect("steal")}),
              cell_of("c", 0.5, {{"steal", CheckOutcome::kPassed, ""}}), unknown, slow_start,
              cell_of("f", 0.01, {suspect("steal")}, 0.049), cell_of("g", 0.01, {suspect("steal")}, 0.12),
              cell_of("h", 0.20, {suspect("steal")}, 0.86),
              // A row is not suspect if its checks tolerate the loss.
              cell_of("i", 0.01, {{"steal", CheckOutcome::kPassed, ""}}, 0.009)});
  const std::string csv = write_csv({&run, 1});
  CHECK(csv.substr(0, csv.find("\r\n")).ends_with(",disturbance,reason"));
  CHECK(csv.find(",suspect (varied by 6 %),\r\n") != std::string::npos);
  const std::string junit = write_junit({&run, 1}, nullptr);
  CHECK(junit.find("<system-out>SUSPECT (86 % lost)</system-out></testcase>") != std::string::npos);
  CHECK(golden_column(run) == std::vector<std::string>{"passed", "passed, suspect (varied by 6 %)", "passed",
                                                       "passed, suspect", "passed, suspect (varied by 10 %)", "passed",
                                                       "passed, suspect (12 % lost)", "passed, SUSPECT (86 % lost)",
                                                       "passed"});
  CHECK(variation_of(run.summary.cells[1]).value() == Approx(0.06));
  CHECK(variation_of(run.summary.cells[4]).value() == Approx(0.1));
  CHECK_FALSE(variation_of(run.summary.cells[3]));
  CHECK(grade_of(run.summary.cells[0]) == DisturbanceGrade::kSlight);
  CHECK(grade_of(run.summary.cells[2]) == DisturbanceGrade::kClean);
  CHECK(grade_of(run.summary.cells[6]) == DisturbanceGrade::kSuspect);
  CHECK(grade_of(run.summary.cells[7]) == DisturbanceGrade::kHeavy);
}

TEST_CASE("each kind of disturbance is one line, with how many rows and the hardest hit of them") {
  CellSummary invalid = cell_of("d", 0.3, {{"warm_up", CheckOutcome::kInvalid, "time per token fell by 40 %"}});
  invalid.status = CellStatus::kInvalid;
  invalid.notes = {"INVALID: warm_up: time per token fell by 40 % (1 of 3 repetitions)"};
  CellSummary other = cell_of("c", 0.02, {suspect("steal")});
  other.notes = {"suspect: steal: steal of 7 % (2 of 3 repetitions)", "something else"};
  const SummarizedRun run = run_of({cell_of("a", 0.01, {suspect("steal"), suspect("machine")}),
                                    cell_of("b", 0.20, {suspect("steal")}), other, invalid});
  const std::vector<std::string> lines = disturbance_lines({&run, 1});
  CHECK(lines == std::vector<std::string>{
                     "INVALID: warm_up: 1 of 4 rows; tiny/cpu/int8/d: time per token fell by 40 %",
                     "suspect: steal: 3 of 4 rows, 1 marked; worst: tiny/cpu/int8/b (varied by 20 %): steal of 7 %",
                     "suspect: machine: 1 of 4 rows, 0 marked; tiny/cpu/int8/a (varied by 1 %): machine of 7 %"});
  const std::vector<std::string> notes = result_notes({&run, 1});
  for (const std::string& line : lines) CHECK(std::ranges::count(notes, line) == 1);
  CHECK(std::ranges::count(notes, "tiny/cpu/int8/c: something else") == 1);
  // The table lists every disturbance once.
  CHECK(std::ranges::count_if(notes, [](const std::string& note) { return contains(note, "repetitions)"); }) == 0);
  CHECK(disturbance_table({&run, 1}).rows.size() == 5);
}

TEST_CASE("of a kind of disturbance a marked row is named before one that lost more time and is not marked") {
  const SummarizedRun run =
      run_of({cell_of("a", 0.01, {suspect("steal")}, 0.04), cell_of("b", 0.20, {suspect("steal")}, 0.02)});
  CHECK(disturbance_lines({&run, 1}) ==
        std::vector<std::string>{
            "suspect: steal: 2 of 2 rows, 1 marked; worst: tiny/cpu/int8/b (varied by 20 %): steal of 7 %"});
}

TEST_CASE("a note that several rows share is one line, which names the first of many") {
  std::vector<CellSummary> cells;
  for (const char* scenario : {"a", "b", "c", "d", "e", "f"}) {
    cells.push_back(cell_of(scenario, 0, {}));
    cells.back().notes = {"the same"};
  }
  cells[1].notes = {"another", "the same"};
  const SummarizedRun run = run_of(cells);
  const std::vector<std::string> notes = result_notes({&run, 1});
  CHECK(std::ranges::count(notes, "tiny/cpu/int8/a, tiny/cpu/int8/b, tiny/cpu/int8/c and 3 more: the same") == 1);
  CHECK(std::ranges::count(notes, "tiny/cpu/int8/b: another") == 1);
  CHECK(std::ranges::count_if(notes, [](const std::string& note) { return contains(note, "the same"); }) == 1);
  cells.resize(4);
  const SummarizedRun four = run_of(cells);
  CHECK(std::ranges::count(result_notes({&four, 1}),
                           "tiny/cpu/int8/a, tiny/cpu/int8/b, tiny/cpu/int8/c, tiny/cpu/int8/d: the same") == 1);
}

TEST_CASE("a report ends with what was seen of tokens, speed and disturbances") {
  CellSummary wrong = cell_of("a", 0, {});
  wrong.key.variant = "bf16";
  wrong.golden = GoldenVerdict::kFailed;
  wrong.output_tok_per_s.value = 9000;
  CellSummary faster = cell_of("b", 0.2, {suspect("steal")});
  faster.output_tok_per_s.value = 2000;
  const SummarizedRun run = run_of({cell_of("a", 0, {}), faster, wrong});
  CHECK(what_was_seen({&run, 1}) ==
        std::vector<std::string>{
            "Tokens: proven right in 1 of 2 combinations of bundle, backend and variant, WRONG TOKENS in 1.",
            "Speed: the highest rate of output tokens per second is 2000 on tiny (cpu, int8, b).",
            "Measurement: 1 of 3 rows clean; 1 suspect, because 5 to 25 % of the time was lost or a repetition is "
            "more than 5 % from the figure; 1 without figures because of wrong tokens."});
  const SummarizedRun calm = run_of({cell_of("a", 0, {})});
  CHECK(what_was_seen({&calm, 1})[2] == "Measurement: 1 of 1 row clean.");
  const SummarizedRun slightly = run_of({cell_of("a", 0.01, {suspect("steal")})});
  CHECK(what_was_seen({&slightly, 1})[2] == "Measurement: 1 of 1 row clean (1 slightly disturbed).");
}

TEST_CASE("a machine that lost a quarter of the time in most rows cannot tell, and the first sentence says so") {
  const SummarizedRun busy = run_of({cell_of("a", 0.01, {suspect("foreign_cpu")}, 0.5),
                                     cell_of("b", 0.01, {suspect("foreign_cpu")}, 0.6), cell_of("c", 0, {})});
  CHECK(
      cannot_tell_sentence({&busy, 1}) ==
      "This machine cannot tell how fast the systems are: other processes, the hypervisor or a quota took 55 % of the "
      "time (the median of 2 of 3 rows, which lost over 25 %).");
  CHECK(what_was_seen({&busy, 1})[2] == "Measurement: 1 of 3 rows clean; 2 SUSPECT: over 25 % of the time lost.");
  const std::vector<VerdictLine> headline = verdict_lines({&busy, 1}, nullptr);
  CHECK(headline.front().text == cannot_tell_sentence({&busy, 1}));
  CHECK(headline.back().text == "1 of 3 rows clean; 2 SUSPECT: over 25 % of the time lost");
  const SummarizedRun half = run_of({cell_of("a", 0.01, {suspect("foreign_cpu")}, 0.5), cell_of("b", 0, {})});
  CHECK(cannot_tell_sentence({&half, 1}).empty());
}

}  // namespace secondsource
