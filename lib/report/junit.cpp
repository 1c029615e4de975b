#include "report/junit.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "core/enum_format.h"
#include "core/utf8.h"
#include "report/cell_text.h"
#include "report/disturbances.h"
#include "report/notes.h"
#include "report/text_table.h"

namespace secondsource {
namespace {

constexpr std::size_t kMessageCharacters = 1000;

/// A failure is a bad result; an error means that there is no result.
enum class Outcome : std::uint8_t { kPassed, kFailure, kError, kSkipped };
constexpr std::array<const char*, 4> kElements = {"", "failure", "error", "skipped"};

struct TestCase {
  std::string class_name{};
  std::string name{};
  Outcome outcome = Outcome::kPassed;
  std::string type{};  ///< "wrong-tokens", "invalid", "inconclusive" and so on
  std::string message{};
  std::string note{};  ///< what a reader of a passed test should know

  void ends(Outcome how, std::string why_type, std::string why) {
    outcome = how;
    type = std::move(why_type);
    message = std::move(why);
  }
};

TestCase test_case_of(const SummarizedRun& run, const CellSummary& cell) {
  TestCase test{
      .class_name = "secondsource.cell." + cell.key.backend, .name = cell.key.id(), .note = disturbance_mark(cell)};
  const std::string detail =
      cell.notes.empty() ? std::string(to_string(cell.status)) : fmt::format("{}", fmt::join(cell.notes, "; "));
  if (cell.golden == GoldenVerdict::kFailed) {
    test.ends(Outcome::kFailure, "wrong-tokens", "the golden check failed: wrong tokens");
  } else if (is_declined(run.record, run.summary, cell)) {
    test.ends(Outcome::kSkipped, "declined", why_incomplete(cell));
  } else if (cell.status == CellStatus::kFailed || cell.status == CellStatus::kInvalid) {
    test.ends(Outcome::kError, std::string(to_string(cell.status)), fmt::format("{}: {}", cell.status, detail));
  } else if (cell.status == CellStatus::kMissing || cell.status == CellStatus::kPartial) {
    test.ends(Outcome::kSkipped, std::string(to_string(cell.status)), std::string(to_string(cell.status)));
  } else if (cell.golden != GoldenVerdict::kPassed) {
    test.ends(Outcome::kSkipped, "unverified", "unverified: no independent expected outputs");
  }
  const bool has_failed = test.outcome == Outcome::kFailure || test.outcome == Outcome::kError;
  if (has_failed && cell.tier == Tier::kOpportunistic) {
    test.ends(Outcome::kSkipped, "opportunistic", "opportunistic, so without effect: " + test.message);
  }
  if (!cell.outside_limits.empty()) {
    const std::string what = test.message.empty() ? tokens_text(cell) : test.message;
    test.ends(Outcome::kSkipped, "outside-limits",
              fmt::format("{}; the variant is outside the limits of its quality: {}", what, cell.outside_limits));
  }
  return test;
}

TestCase test_case_of(const GateVerdict& verdict) {
  TestCase test{.class_name = "secondsource.gate." + verdict.metric, .name = verdict.cell.id() + " " + verdict.metric};
  if (verdict.decision == Decision::kPass) return test;
  if (!verdict.decides) {
    test.ends(Outcome::kSkipped, "opportunistic", fmt::format("{}: {}", to_string(verdict.decision), verdict.why));
  } else if (!verdict.waived_by.empty()) {
    test.ends(Outcome::kSkipped, "waived", "waived by " + verdict.waived_by + ": " + verdict.why);
  } else if (verdict.decision == Decision::kRegressed) {
    test.ends(Outcome::kFailure, "regressed", verdict.why);
  } else {
    test.ends(Outcome::kSkipped, "inconclusive", "inconclusive: " + verdict.why);
  }
  return test;
}

std::string text(std::string_view unsafe) {
  return escape_markup(shown(unsafe, kMessageCharacters));
}

void append_suite(std::string& out, const std::string& name, const std::vector<TestCase>& tests) {
  const auto count = [&](Outcome outcome) {
    return std::count_if(tests.begin(), tests.end(), [&](const TestCase& test) { return test.outcome == outcome; });
  };
  out +=
      fmt::format("  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n", text(name),
                  tests.size(), count(Outcome::kFailure), count(Outcome::kError), count(Outcome::kSkipped));
  for (const TestCase& test : tests) {
    out += fmt::format("    <testcase classname=\"{}\" name=\"{}\"", text(test.class_name), text(test.name));
    if (test.outcome == Outcome::kPassed) {
      out += test.note.empty() ? "/>\n" : fmt::format("><system-out>{}</system-out></testcase>\n", text(test.note));
      continue;
    }
    // Some readers of JUnit files show the attribute `message`, others the text of the element.
    const std::string message = text(test.message);
    out += fmt::format("><{0} type=\"{1}\" message=\"{2}\">{2}</{0}></testcase>\n",
                       kElements[static_cast<std::size_t>(test.outcome)], text(test.type), message);
  }
  out += "  </testsuite>\n";
}

}  // namespace

std::string write_junit(std::span<const SummarizedRun> runs, const GateReport* gate) {
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"secondsource\">\n";
  for (const SummarizedRun& run : runs) {
    std::vector<TestCase> tests;
    for (const CellSummary& cell : run.summary.cells) tests.push_back(test_case_of(run, cell));
    if (!run.has_samples) {
      TestCase test{.class_name = "secondsource.run", .name = "samples of " + run.summary.run_id};
      test.ends(Outcome::kSkipped, "summary-only", summary_only_note(run));
      tests.push_back(std::move(test));
    }
    const std::size_t n_clients = run.record.clients.size();
    append_suite(out, "run " + run.summary.run_id + (n_clients > 0 ? fmt::format(" of {} clients", n_clients) : ""),
                 tests);
  }
  if (gate != nullptr) {
    std::vector<TestCase> tests;
    for (const GateVerdict& verdict : gate->verdicts) tests.push_back(test_case_of(verdict));
    const auto add = [&](const std::vector<std::string>& reasons, Outcome outcome, const char* type) {
      for (const std::string& reason : reasons) {
        TestCase test{.class_name = std::string("secondsource.gate.") + type, .name = reason};
        test.ends(outcome, type, reason);
        tests.push_back(std::move(test));
      }
    };
    add(gate->wrong_tokens, Outcome::kFailure, "wrong-tokens");
    add(gate->failed, Outcome::kError, "failed");
    add(gate->not_comparable, Outcome::kError, "not-comparable");
    add(gate->not_judged, Outcome::kSkipped, "not-judged");
    add(gate->waiver_errors, Outcome::kFailure, "waiver");
    add(gate->without_effect, Outcome::kSkipped, "opportunistic");
    if (!gate->cannot_decide.empty()) add({gate->cannot_decide}, Outcome::kSkipped, "inconclusive");
    std::string name = "gate";
    for (const std::string& run_id : {gate->base_run_id, gate->candidate_run_id}) {
      if (!run_id.empty()) name += " " + run_id;
    }
    append_suite(out, name, tests);
  }
  return out + "</testsuites>\n";
}

}  // namespace secondsource
