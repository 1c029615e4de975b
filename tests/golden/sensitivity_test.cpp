// Determines which suite finds which planted bug. A bug that no suite finds shows a gap in the suites. The printed
// table belongs into docs/correctness.md.

#include <fmt/format.h>

#include <cstdlib>
#include <iostream>

#include "conformance/suite.h"
#include "golden/golden_pass.h"
#include "golden_support.h"
#include "mutants.h"
#include "stories.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

using test::Bug;
using test::BugInfo;

/// The result of one suite for one bug.
struct Outcome {
  bool ran = false;
  bool killed = false;
  std::string finding;
};

Outcome run_conformance(Bug bug) {
  Outcome outcome{.ran = true, .killed = false, .finding = ""};
  const auto make = [&]() -> Result<std::unique_ptr<Backend>> { return test::make_mutant(bug); };
  conformance::SuiteOptions options;
  options.stop_at_first = true;
  const std::int64_t n_failed = conformance::run_suite(make, options, [&](const conformance::CaseReport& report) {
    if (report.verdict == conformance::Verdict::kFailed && outcome.finding.empty()) {
      outcome.finding = report.family + ": " + report.name;
    }
  });
  outcome.killed = n_failed > 0;
  return outcome;
}

Outcome run_stories(Bug bug) {
  const auto folder = test::asset("models/stories260K-hf");
  const auto expected = test::asset("models/stories260K/expected_greedy.json");
  if (!folder || !expected) return {};
  const Bundle bundle = Bundle::open_model_folder(*folder).value();
  SilentProgress progress;
  auto session = ModelSession::open(test::make_mutant(bug), bundle.config(), bundle.tensors(), "f32", {}, progress,
                                    InterruptFlag());
  if (!session) return {.ran = true, .killed = true, .finding = session.error().message};
  constexpr std::size_t kTokens = 48;  // three pages
  const auto cases = test::read_stories_cases(*expected);
  std::optional<std::string> finding;
  for (const test::StoriesCase& one : cases) {
    if (!finding)
      finding = test::compare_with_stories((*session)->engine(), one, test::stories_tolerance(true), kTokens);
  }
  if (!finding) {
    finding = test::compare_fork_with_stories((*session)->engine(), cases.front(), test::stories_tolerance(true));
  }
  return {.ran = true, .killed = finding.has_value(), .finding = finding.value_or("")};
}

/// The variant in which a bug of weights or activations has an effect; other bugs are tested in BF16.
std::string variant_of(Bug bug) {
  switch (bug) {
    case Bug::kScaleRowsSwapped:
    case Bug::kInt8Scale:
      return "int8";
    case Bug::kInt8GroupShifted:
      return "int8-g32";
    case Bug::kInt4GroupShifted:
      return "int4";
    case Bug::kDecodeNotQuantized:
      return "int8-w8a8";
    default:
      return "bf16";
  }
}

/// The default bundle, opened once.
struct Golden {
  explicit Golden(const std::filesystem::path& path)
      : bundle(Bundle::open(path, progress, interrupt).value()), text(BundleText::load(bundle).value()) {}

  Outcome run(Bug bug, const std::string& suite) {
    const auto inputs = load_golden_inputs(bundle, text, suite, variant_of(bug));
    if (!inputs) FAIL(inputs.error().message);
    auto session = ModelSession::open(test::make_mutant(bug), bundle.config(), bundle.tensors(), variant_of(bug),
                                      golden_engine_options(*inputs), progress, InterruptFlag());
    if (!session) return {.ran = true, .killed = true, .finding = session.error().message};
    const auto result = run_golden_pass(**session, *inputs, {}, progress);
    if (!result) return {.ran = true, .killed = true, .finding = result.error().message};
    const bool killed = result->record.verdict == GoldenVerdict::kFailed;
    return {.ran = true, .killed = killed, .finding = killed ? result->record.reasons.front() : ""};
  }

  SilentProgress progress;
  InterruptFlag interrupt;
  Bundle bundle;
  BundleText text;
};

const char* mark(const Outcome& outcome) {
  if (!outcome.ran) return "not run";
  return outcome.killed ? "found" : "-";
}

TEST_CASE("every planted bug is found by at least one suite, and the control by none") {
  const char* const bundles = std::getenv("SECONDSOURCE_BUNDLES");
  REQUIRE(bundles != nullptr);
  Golden golden(std::filesystem::path(bundles) / "default");
  std::string table =
      "| bug | what is wrong | conformance | golden, smoke | stories260K |\n| --- | --- | --- | --- | --- |\n";
  std::string findings;
  for (const BugInfo& info : test::all_bugs()) {
    CAPTURE(info.name);
    const Outcome conformance = run_conformance(info.bug);
    const Outcome smoke = golden.run(info.bug, "smoke");
    const Outcome stories = run_stories(info.bug);
    table += fmt::format("| `{}` | {} | {} | {} | {} |\n", info.name, info.description, mark(conformance), mark(smoke),
                         mark(stories));
    findings += fmt::format("{}: conformance: {}; golden {}: {}; stories260K: {}\n", info.name, conformance.finding,
                            variant_of(info.bug), smoke.finding, stories.finding.substr(0, 120));
    std::cout << info.name << ": " << mark(conformance) << ", " << mark(smoke) << ", " << mark(stories) << std::endl;
    const bool is_found = conformance.killed || smoke.killed || stories.killed;
    CHECK(is_found == (info.bug != Bug::kNone));
    for (const auto& [letter, outcome] : {std::pair('c', &conformance), {'g', &smoke}, {'s', &stories}}) {
      CAPTURE(letter);
      if (outcome->ran && info.found_by.find(letter) != std::string_view::npos) CHECK(outcome->killed);
    }
  }
  std::cout << table << "\n" << findings;
}

}  // namespace
}  // namespace secondsource
