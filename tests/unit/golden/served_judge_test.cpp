// Judging what a server shows: a best id, a log-probability, or a text. Expected values are worked out by hand.

#include <cmath>
#include <string>

#include "golden/golden_judge.h"
#include "support/catch.h"

namespace secondsource {
namespace {

using enum PositionKind;

/// Two positions whose best ids are 3 and 4, each with probability 0.6. At both, id 1 has 0.3 (log 2 below the best) and id 7 has
/// 0.05 (log 12 below).
ExpectedOutput two_token_record() {
  ExpectedOutput expected;
  expected.ids = {3, 4};
  for (const std::int32_t id : expected.ids) {
    expected.top.push_back({{id, std::log(0.6)}, {1, std::log(0.3)}, {7, std::log(0.05)}});
    expected.top1_margin.push_back(std::log(2.0));
  }
  return expected;
}

constexpr double kTau = 0.7;  // log 2 is a near tie, log 12 is not
constexpr std::int32_t kEos = 9;

/// Id 0 is "a", id 1 is "b", ...; id 8 is the first half of a character, id 9 the end of text.
std::string decode(std::span<const std::int32_t> ids) {
  std::string text;
  for (const std::int32_t id : ids) {
    if (id == 8) text += "\xEF\xBF\xBD";
    if (id < 8) text += static_cast<char>('a' + id);
  }
  return text;
}

StreamJudgement judged(const ExpectedOutput& expected, std::string_view text, bool ended = false) {
  const std::vector<std::int32_t> eos = {kEos};
  return judge_text(expected, {.text = text, .ended = ended}, decode, eos, kTau);
}

TEST_CASE("a best id is a match, a near tie or wrong by the reference's gap") {
  CHECK(judge_best_id(two_token_record(), 0, 3, std::log(0.5), kTau).kind == kMatch);
  CHECK(judge_best_id(two_token_record(), 0, 3, std::log(0.5), kTau).nll_difference == Approx(std::log(1.2)));
  CHECK(judge_best_id(two_token_record(), 0, 1, std::nullopt, kTau).kind == kNearTie);
  CHECK(judge_best_id(two_token_record(), 0, 7, std::nullopt, kTau).kind == kWrong);
  CHECK(judge_best_id(two_token_record(), 0, 5, std::nullopt, 100.0).kind == kWrong);
  ExpectedOutput unsteady = two_token_record();
  unsteady.unsteady = {0};
  CHECK(judge_best_id(unsteady, 0, 5, std::nullopt, kTau).kind == kUnsteady);
}

TEST_CASE("a log-probability is right within tau of the reference's") {
  CHECK(judge_log_probability(two_token_record(), 0, std::log(0.6), kTau).kind == kMatch);
  CHECK(judge_log_probability(two_token_record(), 0, std::log(0.6) - 0.69, kTau).kind == kMatch);
  CHECK(judge_log_probability(two_token_record(), 0, std::log(0.6) - 0.71, kTau).kind == kWrong);
  CHECK(judge_log_probability(two_token_record(), 0, std::log(0.6) + 0.71, kTau).kind == kWrong);
  CHECK(judge_log_probability(two_token_record(), 0, -INFINITY, kTau).kind == kWrong);
  CHECK(judge_log_probability(two_token_record(), 0, NAN, kTau).kind == kWrong);
}

TEST_CASE("a text is that of the reference's ids, or parts from it at a near tie") {
  CHECK(judged(two_token_record(), "de").kind == kMatch);
  CHECK(judged(two_token_record(), "de").n_equal == 2);
  CHECK(judged(two_token_record(), "db").kind == kNearTie);  // b is id 1, log 2 below
  CHECK(judged(two_token_record(), "db").n_equal == 1);
  CHECK(judged(two_token_record(), "bz").kind == kNearTie);  // the rest is not judged
  CHECK(judged(two_token_record(), "dh").kind == kWrong);    // h is id 7, log 12 below
  CHECK(judged(two_token_record(), "dh").n_equal == 1);
  CHECK(judged(two_token_record(), "xy").kind == kWrong);
  CHECK(judged(two_token_record(), "").kind == kWrong);
  CHECK(judged(two_token_record(), "def").kind == kWrong);  // longer than was asked for
}

TEST_CASE("a text that ends before or behind the reference's is judged by the end of text there") {
  ExpectedOutput ends = two_token_record();
  ends.ids.push_back(kEos);
  ends.finish = Finish::kEos;
  ends.top.push_back({{kEos, std::log(0.5)}, {1, std::log(0.4)}, {7, std::log(0.01)}});
  ends.top1_margin.push_back(std::log(1.25));
  CHECK(judged(ends, "de", true).kind == kMatch);
  CHECK(judged(ends, "de", true).n_equal == 3);
  CHECK(judged(ends, "deb", false).kind == kNearTie);
  CHECK(judged(ends, "deh", false).kind == kWrong);
  CHECK(judged(ends, "d", true).kind == kWrong);  // end of text is not among the ids stored there
  ExpectedOutput early = ends;
  early.top[1] = {{4, std::log(0.5)}, {kEos, std::log(0.4)}};
  CHECK(judged(early, "d", true).kind == kNearTie);
}

TEST_CASE("half a character at the end of either text does not count") {
  ExpectedOutput half = two_token_record();
  half.ids[1] = 8;
  half.top[1] = {{8, std::log(0.6)}};
  CHECK(judged(half, "d").kind == kMatch);
  CHECK(judged(half, "d\xEF\xBF\xBD").kind == kMatch);
}

TEST_CASE("a difference at an unsteady position decides nothing") {
  ExpectedOutput unsteady = two_token_record();
  unsteady.unsteady = {1};
  CHECK(judged(unsteady, "dh").kind == kUnsteady);
}

}  // namespace
}  // namespace secondsource
