#include "report/junit.h"

#include <fmt/format.h>

#include <cstdint>
#include <vector>

#include "report/text_table.h"

namespace secondsource {
namespace {

enum class Outcome : std::uint8_t { kPassed, kFailed, kSkipped };

struct TestCase {
  std::string class_name;
  std::string name;
  Outcome outcome = Outcome::kPassed;
  std::string message;
};

TestCase test_case_of(const CellSummary& cell) {
  TestCase test{"secondsource.cell." + cell.key.backend, cell.key.id(), Outcome::kPassed, ""};
  const std::string detail = cell.notes.empty() ? cell.status : cell.notes.front();
  if (cell.golden == "failed") {
    test.outcome = Outcome::kFailed;
    test.message = "the golden check failed: wrong tokens";
  } else if (cell.status == "failed" || cell.status == "invalid") {
    test.outcome = Outcome::kFailed;
    test.message = cell.status + ": " + detail;
  } else if (cell.status == "missing" || cell.status == "partial") {
    test.outcome = Outcome::kSkipped;
    test.message = cell.status;
  } else if (cell.golden != "passed") {
    test.outcome = Outcome::kSkipped;
    test.message = "unverified: no independent expected outputs";
  }
  return test;
}

TestCase test_case_of(const GateVerdict& verdict) {
  TestCase test{"secondsource.gate." + verdict.metric, verdict.cell.id() + " " + verdict.metric, Outcome::kPassed, ""};
  if (verdict.decision == Decision::kPass) return test;
  test.message = verdict.why;
  if (!verdict.waived_by.empty()) {
    test.outcome = Outcome::kSkipped;
    test.message = "waived by " + verdict.waived_by + ": " + verdict.why;
  } else {
    test.outcome = verdict.decision == Decision::kRegressed ? Outcome::kFailed : Outcome::kSkipped;
  }
  return test;
}

void append_suite(std::string& out, const std::string& name, const std::vector<TestCase>& tests) {
  int failures = 0;
  int skipped = 0;
  for (const TestCase& test : tests) {
    failures += test.outcome == Outcome::kFailed;
    skipped += test.outcome == Outcome::kSkipped;
  }
  out += fmt::format("  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\">\n",
                     escape_markup(name), tests.size(), failures, skipped);
  for (const TestCase& test : tests) {
    out += fmt::format("    <testcase classname=\"{}\" name=\"{}\"", escape_markup(test.class_name),
                       escape_markup(test.name));
    if (test.outcome == Outcome::kPassed) {
      out += "/>\n";
      continue;
    }
    out += fmt::format("><{} message=\"{}\"/></testcase>\n", test.outcome == Outcome::kFailed ? "failure" : "skipped",
                       escape_markup(test.message));
  }
  out += "  </testsuite>\n";
}

}  // namespace

std::string write_junit(std::span<const SummarizedRun> runs, const GateReport* gate) {
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"secondsource\">\n";
  for (const SummarizedRun& run : runs) {
    std::vector<TestCase> tests;
    for (const CellSummary& cell : run.summary.cells) tests.push_back(test_case_of(cell));
    append_suite(out, "run " + run.summary.run_id, tests);
  }
  if (gate != nullptr) {
    std::vector<TestCase> tests;
    for (const GateVerdict& verdict : gate->verdicts) tests.push_back(test_case_of(verdict));
    const auto add_failures = [&](const std::vector<std::string>& reasons, const char* name) {
      for (const std::string& reason : reasons) {
        tests.push_back({std::string("secondsource.gate.") + name, reason, Outcome::kFailed, reason});
      }
    };
    add_failures(gate->wrong_tokens, "wrong_tokens");
    add_failures(gate->failed, "failed");
    add_failures(gate->not_comparable, "not_comparable");
    add_failures(gate->waiver_errors, "waiver");
    append_suite(out, "gate " + gate->base_run_id + " " + gate->candidate_run_id, tests);
  }
  return out + "</testsuites>\n";
}

}  // namespace secondsource
