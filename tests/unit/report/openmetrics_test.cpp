// tests/exports reads the same texts with an independent parser and with Prometheus itself.

#include "report/openmetrics.h"

#include "support/result.h"
#include "support/text_parts.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

SummarizedRun measured_run(const std::string& started_utc = "2026-11-20T08:00:00Z") {
  return hand_made_one_cell_run(1, [&](RunRecord& record) { record.started_utc = started_utc; });
}

std::string text_of(const SummarizedRun& run) {
  return write_openmetrics({&run, 1});
}

const std::string kLabels =
    R"(machine="Test CPU, unknown CPUs",device="Test device",bundle="tiny",backend="cpu",variant="bf16",)"
    R"(scenario="single-stream",tier="blessed")";

}  // namespace

TEST_CASE("a metric has its type, its unit and its meaning, and a figure is in base units") {
  const std::string text = text_of(measured_run());
  CHECK(contains(text,
                 "# TYPE secondsource_ttft_e2e_p50_seconds gauge\n"
                 "# UNIT secondsource_ttft_e2e_p50_seconds seconds\n"
                 "# HELP secondsource_ttft_e2e_p50_seconds Time to the first token, median.\n"
                 "secondsource_ttft_e2e_p50_seconds{" +
                     kLabels + "} 0.0135\n"));
  CHECK(contains(text, "secondsource_memory_peak_bytes{" + kLabels + "} 1300\n"));
  CHECK(contains(text, "secondsource_cell_measured_timestamp_seconds{" + kLabels + "} 1795161600\n"));  // date -d
  CHECK(contains(text, "secondsource_cell_golden{" + kLabels + ",verdict=\"passed\"} 1\n"));
  CHECK(contains(text, "secondsource_cell_golden{" + kLabels + ",verdict=\"failed\"} 0\n"));
  CHECK_FALSE(contains(text, "ttft_e2e_p99"));  // 40 requests are too few for it: no sample, and no zero
  CHECK(text.ends_with("\n# EOF\n"));
}

TEST_CASE("wrong tokens and an INVALID measurement are metrics, and have no figures") {
  for (const bool is_invalid : {false, true}) {
    SummarizedRun run = measured_run();
    CellSummary& cell = run.summary.cells[0];
    if (is_invalid) {
      cell.status = CellStatus::kInvalid;
    } else {
      cell.golden = GoldenVerdict::kFailed;
    }
    const std::string text = text_of(run);
    CHECK(contains(text, is_invalid ? ",status=\"invalid\"} 1\n" : ",verdict=\"failed\"} 1\n"));
    for (const char* figure : {"ttft", "output_tokens", "usd", "memory", "suspect"}) {
      CAPTURE(figure);
      CHECK_FALSE(contains(text, std::string("secondsource_") + figure));
    }
    CHECK_FALSE(contains(text, "cell_suspect"));
  }
}

TEST_CASE("a variant outside its limits is said to be so, whatever its tokens are, and no other is") {
  SummarizedRun run = measured_run();
  CHECK(contains(text_of(run), "secondsource_cell_outside_limits{" + kLabels + "} 0\n"));
  CellSummary& cell = run.summary.cells[0];
  cell.tier = Tier::kOpportunistic;
  cell.outside_limits = "mean KL 0.07, at most 0.05 allowed";
  for (const GoldenVerdict verdict : {GoldenVerdict::kPassed, GoldenVerdict::kFailed}) {
    cell.golden = verdict;
    const std::string text = text_of(run);
    CHECK(contains(text, "# TYPE secondsource_cell_outside_limits gauge\n"));
    CHECK(contains(text, "scenario=\"single-stream\",tier=\"opportunistic\"} 1\n"));
    CHECK_FALSE(contains(text, "secondsource_cell_outside_limits{" + kLabels));
  }
}

TEST_CASE("a label is printable, escaped and short") {
  SummarizedRun run = measured_run();
  run.summary.cells[0].key.bundle = "a\"b\\c\nd\xe2\x80\xae" + std::string(5000, 'x');
  const std::string text = text_of(run);
  CHECK(contains(text, R"(bundle="a\"b\\c\\x0ad\\u{202e}xxx)"));
  CHECK(contains(text, "xxx… (5010 bytes)\""));
}

TEST_CASE("of a cell that several runs have, the newest run counts") {
  const SummarizedRun runs[] = {measured_run("2026-11-21T08:00:00Z"), measured_run("2026-11-20T08:00:00Z")};
  const std::string text = write_openmetrics(runs);
  CHECK(contains(text, "} 1795248000\n"));
  CHECK_FALSE(contains(text, "} 1795161600\n"));
}

TEST_CASE("a history has every value at its time, in order, and a run without a time is refused") {
  HistoryCell cell;
  cell.run_id = "0123456789abcdef";
  cell.branch = "main";
  cell.machine = "M";
  cell.bundle = "tiny";
  cell.backend = "cpu";
  cell.variant = "bf16";
  cell.scenario = "single-stream";
  cell.counts = true;
  cell.ttft_e2e_p50_ns = 2e6;
  cell.started_utc = "2026-11-21T08:00:00Z";
  HistoryCell older = cell;
  older.started_utc = "2026-11-20T08:00:00Z";
  older.ttft_e2e_p50_ns = 1e6;
  cell.outside_limits = "mean KL 0.07, at most 0.05 allowed";
  const HistoryCell cells[] = {cell, older};
  std::set<std::string> left_out;
  const auto text = write_openmetrics(cells, left_out);
  CHECK(left_out.empty());
  const std::string sample =
      R"(secondsource_ttft_e2e_p50_seconds{branch="main",machine="M",bundle="tiny",backend="cpu",variant="bf16",)"
      R"(scenario="single-stream",tier="blessed"} )";
  CHECK(contains(text, sample + "0.001 1795161600\n" + sample + "0.002 1795248000\n# EOF\n"));
  const std::string mark = "secondsource_cell_outside_limits" + sample.substr(sample.find('{'));
  CHECK(contains(text, mark + "0 1795161600\n" + mark + "1 1795248000\n"));
  cell.started_utc = "yesterday";
  // A run that began at no time hides no other one.
  const HistoryCell with_bad_time[] = {cell, older};
  CHECK(contains(write_openmetrics(with_bad_time, left_out), sample + "0.001 1795161600\n# EOF\n"));
  CHECK(left_out == std::set<std::string>{"0123456789abcdef"});
}
