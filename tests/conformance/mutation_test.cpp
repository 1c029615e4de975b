// Sensitivity: runs the suite on planted bugs. If a family that should find a mutant does not, a tolerance is too wide
// or a shape is missing.

#include <cmath>
#include <sstream>

#include "conformance/mutants.h"
#include "conformance/suite.h"
#include "conformance/tolerance.h"
#include "support/catch.h"

namespace secondsource::conformance {
namespace {

TEST_CASE("every planted bug is found by each family of cases that should find it") {
  for (const Mutant& mutant : mutants()) {
    std::istringstream names{std::string(mutant.families)};
    for (std::string family; names >> family;) {
      SuiteOptions options;
      options.families = {family};
      options.stop_at_first = true;
      std::string finding;
      const MakeBackend make = [&]() -> Result<std::unique_ptr<Backend>> { return make_mutant(mutant.bug); };
      const std::int64_t n_failed = run_suite(make, options, [&](const CaseReport& report) {
        if (report.verdict == Verdict::kFailed) finding = report.name + ": " + report.text;
      });
      INFO(mutant.name << " survived the family " << family);
      CHECK(n_failed > 0);
      // The finding must be a wrong result. A mutant that fails with an error must not count as found.
      INFO(finding);
      const auto says = [&](const char* text) { return finding.find(text) != std::string::npos; };
      CHECK((says("outside") || says("rms error") || says("expected token") || says("expected log") ||
             says("expected expert") || says("expected nan") || says("found nan")));
    }
  }
}

TEST_CASE("the tolerances let the envelope pass, which is what a backend may do") {
  // The reference itself, the envelope, and a result with half of the envelope's error must be within the tolerance.
  const std::vector<float> expected = {1.0F, -2.0F, 3.0F, 0.5F};
  const std::vector<float> envelope = {1.01F, -2.01F, 2.99F, 0.51F};
  std::vector<float> half = expected;
  for (std::size_t i = 0; i < half.size(); ++i) half[i] += 0.5F * (envelope[i] - expected[i]);
  const std::vector<Values> draws(kDraws, envelope);
  CHECK_FALSE(compare_values(expected, expected, draws, 2));
  CHECK_FALSE(compare_values(half, expected, draws, 2));
  CHECK_FALSE(compare_values(envelope, expected, draws, 2));
}

TEST_CASE("one wrong element is named with its row, its column and both values") {
  std::vector<float> expected(12, 1.0F);
  std::vector<float> tested = expected;
  tested[7] = 1.5F;
  const auto finding = compare_values(tested, expected, {}, 4);
  REQUIRE(finding);
  CHECK(finding->find("1 of 12 elements outside; worst at row 1, col 3: expected 1, found 1.5") != std::string::npos);
}

TEST_CASE("a NaN is right where the reference is not finite, and nowhere else, whatever the tolerance") {
  std::vector<float> expected(4, 1.0F);
  std::vector<float> tested = expected;
  tested[2] = NAN;
  const std::vector<float> far(4, 100.0F);
  CHECK(compare_values(tested, expected, std::vector<Values>(kDraws, far), 4));
  CHECK(compare_values(expected, tested, std::vector<Values>(kDraws, far), 4));
  expected[2] = -INFINITY;
  CHECK_FALSE(compare_values(tested, expected, {}, 4));
  CHECK_FALSE(compare_values(tested, tested, std::vector<Values>(kDraws, tested), 4));
  tested[3] = 1.1F;  // values that are not finite do not widen the tolerance of their neighbours
  CHECK(compare_values(tested, expected, std::vector<Values>(kDraws, expected), 4));
}

TEST_CASE("a stray write to a cache slot that nobody wrote is found however small it is") {
  const std::vector<float> expected = {0.0F, 5.0F};
  const std::vector<float> envelope = {0.0F, 5.1F};
  CHECK(compare_values(std::vector<float>{1e-20F, 5.0F}, expected, std::vector<Values>(kDraws, envelope), 1, true));
}

}  // namespace
}  // namespace secondsource::conformance
