#include "measure/timed_verdict.h"

#include "support/catch.h"

namespace secondsource {
namespace {

/// The ids 10 with a wide margin, 11 nearly tied with 21, then 12, and 2, the end of text.
ExpectedOutput reference() {
  ExpectedOutput expected;
  expected.ids = {10, 11, 12, 2};
  expected.finish = Finish::kEos;
  expected.top = {{{10, -0.01}, {20, -5.0}},
                  {{11, -0.69}, {21, -0.70}, {31, -3.0}},
                  {{12, -0.1}, {22, -2.5}},
                  {{2, -0.1}, {3, -3.0}}};
  return expected;
}

TEST_CASE("timed tokens are judged up to the first position where they part from the reference") {
  struct Case {
    const char* name;
    std::vector<std::int32_t> ids;
    std::int32_t verified;
    std::optional<std::int32_t> near_tie_at;
    std::optional<std::int32_t> wrong_at;
  };
  const Case cases[] = {
      {"all right; the end of text is not compared", {10, 11, 12, 99, 98}, 3, {}, {}},
      {"fewer tokens than the reference", {10, 11}, 2, {}, {}},
      {"a near tie ends the judging", {10, 21, 77, 78}, 1, 1, {}},
      {"beyond tau is wrong, even among the top", {10, 31}, 1, {}, 1},
      {"not among the top is wrong", {10, 55}, 1, {}, 1},
      {"a wide lead is no tie", {20}, 0, {}, 0},
      {"nothing generated", {}, 0, {}, {}},
  };
  for (const Case& one : cases) {
    CAPTURE(one.name);
    const TimedVerdict verdict = judge_timed_tokens(one.ids, reference(), 0.05);
    CHECK(verdict.verified_tokens == one.verified);
    CHECK(verdict.near_tie_at == one.near_tie_at);
    CHECK(verdict.wrong_at == one.wrong_at);
  }
}

TEST_CASE("timed tokens are judged up to an unsteady position where they part from the reference") {
  ExpectedOutput expected = reference();
  expected.unsteady = {2};
  const TimedVerdict verdict = judge_timed_tokens(std::vector<std::int32_t>{10, 11, 55}, expected, 0.05);
  CHECK(verdict.verified_tokens == 2);
  CHECK(verdict.near_tie_at == 2);
  CHECK_FALSE(verdict.wrong_at.has_value());
  CHECK(judge_timed_tokens(std::vector<std::int32_t>{10, 55}, expected, 0.05).wrong_at == 1);
}

}  // namespace
}  // namespace secondsource
