// Tests what a code host (such as GitHub) shows of a gate: annotations, and changes drawn with characters.
#include <algorithm>

#include "report/annotations.h"
#include "report/change_bars.h"
#include "report/markdown.h"
#include "report/tables.h"
#include "support/catch.h"
#include "support/result.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

GateVerdict verdict(Decision decision, double change, double low, double high) {
  return {.cell = cell_key("cpu"),
          .metric = "cost",
          .decision = decision,
          .change_percent = change,
          .low_percent = low,
          .high_percent = high,
          .why = "12 % slower, 95 %: 10 to 14"};
}

GateReport report_of(std::vector<GateVerdict> verdicts) {
  GateReport report;
  report.threshold_percent = 10;
  report.verdicts = std::move(verdicts);
  return report;
}

}  // namespace

TEST_CASE("annotations: errors first, warnings, notices; nothing for what passed or decides nothing") {
  GateReport report = report_of({verdict(Decision::kInconclusive, 5, -5, 15), verdict(Decision::kPass, 0, -1, 1),
                                 verdict(Decision::kRegressed, 12, 10, 14), verdict(Decision::kRegressed, 12, 10, 14),
                                 verdict(Decision::kRegressed, 12, 10, 14)});
  report.verdicts[3].waived_by = "W-1";
  report.verdicts[4].decides = false;
  report.wrong_tokens = {"tiny/cpu/int8: wrong"};
  report.losses = {
      {.cell = cell_key("cpu"), .metric = "cost", .source = "backends/cpu/a,b.cpp", .source_line = 12, .share = 0.9}};
  const std::string cell = cell_key("cpu").id();
  CHECK(write_annotations(report) ==
        "::error title=wrong tokens::tiny/cpu/int8: wrong\n"
        "::error file=backends/cpu/a%2Cb.cpp,line=12,title=cost regressed::" +
            cell +
            " cost: 12 %25 slower, 95 %25: 10 to 14\n"
            "::warning title=cost inconclusive::" +
            cell +
            " cost: 12 %25 slower, 95 %25: 10 to 14\n"
            "::notice file=backends/cpu/a%2Cb.cpp,line=12,title=cost regressed%2C waived by W-1::" +
            cell + " cost: 12 %25 slower, 95 %25: 10 to 14\n");
}

TEST_CASE("annotations: a name cannot end its command and begin another") {
  GateReport report = report_of({});
  report.failed = {"a\n::set-output name=x::y\r%0A"};
  const std::string text = write_annotations(report);
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
  CHECK(text.starts_with("::error title=not measured::a"));
  CHECK(text.find("%250A") != text.npos);
}

TEST_CASE(
    "bars: the interval, the change, none and the threshold stand where the scale says, the largest change first") {
  const std::vector<std::string> lines =
      change_bars(report_of({verdict(Decision::kPass, -3, -6, 0), verdict(Decision::kRegressed, 30, 15, 90)}));
  REQUIRE(lines.size() == 3);
  const std::string name = cell_key("cpu").id() + " cost  ";
  // The scale is 30 % in 20 columns: 10 % are 6.67 columns, 15 % are 10, and what lies beyond ends at the edge.
  CHECK(lines[0] == std::string(name.size(), ' ') + "-30 %               0               +30 %");
  CHECK(lines[1] == name + "             :      |      :  ----------o  +30.0 %");
  CHECK(lines[2] == name + "             :  --o-|      :" + std::string(15, ' ') + "-3.0 %");
  CHECK(change_bars(report_of({})).empty());
  CHECK(change_bars(report_of(std::vector<GateVerdict>(50, verdict(Decision::kPass, 1, 0, 2)))).size() == 21);
}

TEST_CASE("an interval that does not exist is a dash in the table, and open on both sides in the bars") {
  GateReport report = report_of({verdict(Decision::kInconclusive, 5, 0, 0)});
  report.verdicts[0].low_percent = report.verdicts[0].high_percent = std::nullopt;
  const auto stored = gate_report_from_json(to_json(report), "gate.json");
  REQUIRE_OK(stored);
  CHECK_FALSE(stored->verdicts[0].low_percent);
  CHECK_FALSE(stored->verdicts[0].high_percent);
  CHECK(gate_table(*stored).rows[0][5] == "-");
  CHECK(write_markdown({}, &*stored).find("inf") == std::string::npos);
  CHECK(change_bars(*stored)[1].find(std::string(20, '-') + "|------o" + std::string(13, '-')) != std::string::npos);
}

TEST_CASE("bars stand in the Markdown of a gate as a block that no name can end") {
  GateReport report = report_of({verdict(Decision::kPass, 1, 0, 2)});
  report.verdicts[0].cell.bundle = "```\n# heading";
  const std::string text = write_markdown({}, &report);
  const std::size_t begin = text.find("```text\n");
  REQUIRE(begin != text.npos);
  const std::size_t end = text.find("```", begin + 3);
  CHECK(text.substr(begin, end - begin).find("'''") != text.npos);
  CHECK(text.find("```", end + 3) == text.npos);
}
