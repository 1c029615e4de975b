#include "golden/golden_judge.h"

#include <cmath>
#include <limits>

#include "support/catch.h"

namespace secondsource {
namespace {

/// An expected output of one position: ids 3, 1 and 7 with probabilities 0.6, 0.3 and 0.05, and 0.05 for the rest.
ExpectedOutput record() {
  ExpectedOutput expected;
  expected.ids = {3};
  expected.top = {{{3, std::log(0.6)}, {1, std::log(0.3)}, {7, std::log(0.05)}}};
  expected.top1_margin = {std::log(2.0)};
  return expected;
}

/// Logits over ten ids with the given probabilities for 3, 1 and 7; the rest is spread evenly over the other seven.
std::vector<float> logits_with(double p3, double p1, double p7) {
  std::vector<float> logits(10, static_cast<float>(std::log((1.0 - p3 - p1 - p7) / 7.0)));
  logits[3] = static_cast<float>(std::log(p3));
  logits[1] = static_cast<float>(std::log(p1));
  logits[7] = static_cast<float>(std::log(p7));
  for (float& logit : logits) logit += 5.0F;  // a constant changes nothing
  return logits;
}

TEST_CASE("a position is a match, a near tie or wrong by the reference's own gap") {
  struct Row {
    double p3, p1, p7;
    double tau;
    PositionKind kind;
    const char* why;
  };
  using enum PositionKind;
  for (const Row& row :
       {Row{0.6, 0.3, 0.05, 0.0, kMatch, "the same distribution"},
        Row{0.4, 0.39, 0.1, 0.0, kMatch, "the best is the reference's, however close"},
        Row{0.3, 0.5, 0.1, 0.7, kNearTie, "the reference's gap is log 2 = 0.693"},
        Row{0.3, 0.5, 0.1, 0.69, kWrong, "just below it"}, Row{0.1, 0.1, 0.7, 2.48, kWrong, "log 12 = 2.485"},
        Row{0.1, 0.1, 0.7, 2.49, kNearTie, "log 12 = 2.485"},
        Row{0.01, 0.01, 0.01, 100.0, kWrong, "not among the stored top, whatever tau"}}) {
    CAPTURE(row.why);
    CHECK(judge_position(record(), 0, logits_with(row.p3, row.p1, row.p7), row.tau).kind == row.kind);
  }
}

TEST_CASE("KL and the difference in NLL are those of the stored top and one rest bucket") {
  // Computed by hand: 0.6 log(0.6 / 0.5) + 0.3 log(0.3 / 0.2) + 0.05 log(0.05 / 0.1) + 0.05 log(0.05 / 0.2) =
  // 0.127055...
  const PositionJudgement judgement = judge_position(record(), 0, logits_with(0.5, 0.2, 0.1), 0.0);
  CHECK(judgement.kl ==
        Approx(0.6 * std::log(1.2) + 0.3 * std::log(1.5) + 0.05 * std::log(0.5) + 0.05 * std::log(0.25)).epsilon(1e-6));
  CHECK(judgement.nll_difference == Approx(std::log(0.6 / 0.5)).epsilon(1e-6));
  CHECK(judge_position(record(), 0, logits_with(0.6, 0.3, 0.05), 0.0).kl == Approx(0.0).margin(1e-7));
}

TEST_CASE("log-probabilities of the stored top are judged as the logits that they come from") {
  // Computed by hand from the same probabilities as in the case above.
  const std::vector<double> logprobs = {std::log(0.5), std::log(0.2), std::log(0.1)};
  const PositionJudgement judgement = judge_distribution(record(), 0, 3, logprobs, 0.0);
  CHECK(judgement.kind == PositionKind::kMatch);
  CHECK(judgement.kl ==
        Approx(0.6 * std::log(1.2) + 0.3 * std::log(1.5) + 0.05 * std::log(0.5) + 0.05 * std::log(0.25)));
  CHECK(judgement.nll_difference == Approx(std::log(0.6 / 0.5)));
  CHECK(judge_distribution(record(), 0, 1, logprobs, 0.7).kind == PositionKind::kNearTie);
  CHECK(judge_distribution(record(), 0, 1, logprobs, 0.69).kind == PositionKind::kWrong);
  CHECK(judge_distribution(record(), 0, 9, logprobs, 100.0).kind == PositionKind::kWrong);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
    const std::vector<double> spoilt = {std::log(0.5), bad, std::log(0.1)};
    CHECK(judge_distribution(record(), 0, 3, spoilt, 0.0).kind == PositionKind::kNonFinite);
  }
}

TEST_CASE("a rest that is only rounding counts as a millionth on both sides") {
  ExpectedOutput expected = record();
  expected.top = {{{3, 0.0}}};  // probability one, so that nothing is left for the rest
  std::vector<float> logits(10, -100.0F);
  logits[3] = 0.0F;
  CHECK(judge_position(expected, 0, logits, 0.0).kl == Approx(0.0).margin(1e-12));
}

TEST_CASE("a NaN or an infinity among the logits is a finding of its own and spoils no mean") {
  GoldenTally tally;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> logits = logits_with(0.6, 0.3, 0.05);
    logits[9] = bad;
    const PositionJudgement judgement = judge_position(record(), 0, logits, 0.0);
    CHECK(judgement.kind == PositionKind::kNonFinite);
    tally.add(judgement, 1.0, 0.0);
  }
  CHECK(tally.n_non_finite == 2);
  CHECK(tally.kl_mean() == 0.0);
  CHECK(broken_rules(tally, {}).size() == 1);
}

TEST_CASE("an unsteady position is counted apart and is part of no figure, but its logits must be finite") {
  ExpectedOutput expected = record();
  expected.unsteady = {0};
  GoldenTally tally;
  tally.add(judge_position(expected, 0, logits_with(0.01, 0.01, 0.9), 0.0), 1.0, 0.0);
  CHECK(tally.n_unsteady == 1);
  CHECK(tally.n_positions == 0);
  CHECK(tally.kl_worst == 0.0);
  CHECK(broken_rules(tally, {}).empty());
  std::vector<float> logits = logits_with(0.6, 0.3, 0.05);
  logits[0] = std::numeric_limits<float>::infinity();
  tally.add(judge_position(expected, 0, logits, 0.0), 1.0, 0.0);
  CHECK(broken_rules(tally, {}).size() == 1);
}

TEST_CASE("the pass rule has five parts, each with its own limit") {
  const Acceptance acceptance{.near_tie_tau = 0.1, .kl_mean = 1e-4, .kl_worst = 1e-3, .nll_difference_mean = 1e-4};
  const auto tally_of = [](std::int64_t n_near, std::int64_t n_reference_near, double kl, double worst, double nll) {
    GoldenTally tally;
    tally.n_positions = 100;
    tally.n_near_tie = n_near;
    tally.n_match = 100 - n_near;
    tally.n_reference_near = n_reference_near;
    tally.kl_sum = 100 * kl;
    tally.kl_worst = worst;
    tally.nll_difference_sum = 100 * nll;
    return tally;
  };
  struct Row {
    GoldenTally tally;
    const char* broken;  // nullptr: none
  };
  for (const Row& row : {Row{tally_of(0, 0, 0, 0, 0), nullptr}, Row{tally_of(2, 0, 0, 0, 0), nullptr},
                         Row{tally_of(3, 5, 0, 0, 0), "near ties"}, Row{tally_of(3, 6, 0, 0, 0), nullptr},
                         Row{tally_of(0, 0, 2.99e-4, 0, 0), nullptr}, Row{tally_of(0, 0, 3.01e-4, 0, 0), "mean KL"},
                         Row{tally_of(0, 0, 0, 9.9e-3, 0), nullptr}, Row{tally_of(0, 0, 0, 1.1e-2, 0), "worst KL"},
                         Row{tally_of(0, 0, 0, 0, -2.9e-4), nullptr}, Row{tally_of(0, 0, 0, 0, -3.1e-4), "NLL"},
                         Row{tally_of(0, 0, std::numeric_limits<double>::quiet_NaN(), 0, 0), "mean KL"}}) {
    const auto broken = broken_rules(row.tally, acceptance);
    REQUIRE(broken.size() == (row.broken == nullptr ? 0U : 1U));
    if (row.broken != nullptr) CHECK(broken.front().find(row.broken) != std::string::npos);
  }
  // An envelope near 0 does not demand more than FP32 can resolve.
  const Acceptance certain{.near_tie_tau = 0.1, .kl_mean = 3e-34, .kl_worst = 9e-32, .nll_difference_mean = 0};
  CHECK(broken_rules(tally_of(0, 0, 9e-10, 9e-10, 9e-7), certain).empty());
  CHECK(broken_rules(tally_of(0, 0, 1.1e-9, 1.1e-9, -1.1e-6), certain).size() == 3);
  GoldenTally wrong = tally_of(0, 0, 0, 0, 0);
  wrong.n_wrong = 1;
  CHECK(broken_rules(wrong, acceptance).front() == "tokens: expected no wrong one, found 1 of 100 positions wrong");
}

TEST_CASE("a verdict is weak where the reference's best two are within tau at more than half of the judged positions") {
  constexpr double kTau = 0.5;
  // Makes a tally of positions that all match, so that the margins between the reference's best two logits alone decide.
  const auto tally_of = [](const std::vector<double>& margins) {
    GoldenTally tally;
    for (const double margin : margins) tally.add({.kind = PositionKind::kMatch}, margin, kTau);
    return tally;
  };
  CHECK(tally_of({0.1, 0.2, 3.0}).is_weak());
  CHECK(tally_of({0.5, 0.5, 3.0}).is_weak());             // a margin of tau itself is within it
  CHECK_FALSE(tally_of({0.1, 0.2, 3.0, 4.0}).is_weak());  // exactly half
  CHECK_FALSE(tally_of({0.1, 3.0, 4.0}).is_weak());
  CHECK_FALSE(tally_of({0.51, 3.0, 4.0}).is_weak());
  CHECK_FALSE(tally_of({}).is_weak());
  // Positions that are not judged do not count.
  GoldenTally tally = tally_of({0.1, 3.0});
  tally.add({.kind = PositionKind::kUnsteady}, 0.1, kTau);
  CHECK_FALSE(tally.is_weak());
}

TEST_CASE("a stream is judged by the ids that the backend chose itself, up to its first near tie") {
  ExpectedOutput expected = record();
  expected.ids = {3, 3};
  expected.top.push_back(expected.top.front());
  const double tau = std::log(2.1);  // 1 is a near tie of 3, and 7 is not
  const auto kind_of = [&](std::vector<std::int32_t> ids) { return judge_stream(expected, ids, tau).kind; };
  CHECK(kind_of({3, 3}) == PositionKind::kMatch);
  CHECK(kind_of({3, 1}) == PositionKind::kNearTie);
  CHECK(kind_of({1, 9, 9}) == PositionKind::kNearTie);  // later positions have another prefix: not judged
  CHECK(kind_of({3, 7}) == PositionKind::kWrong);
  CHECK(kind_of({3, 5}) == PositionKind::kWrong);
  CHECK(kind_of({3}) == PositionKind::kWrong);
  CHECK(kind_of({3, 3, 3}) == PositionKind::kWrong);
  CHECK(judge_stream(expected, std::vector<std::int32_t>{3, 7}, tau).n_equal == 1);
  expected.unsteady = {1};  // rounding may choose another expert there
  CHECK(kind_of({3, 7}) == PositionKind::kUnsteady);
  CHECK(kind_of({7, 3}) == PositionKind::kWrong);
}

TEST_CASE("an answer is right if the text begins with it, after whitespace") {
  CHECK(begins_with_answer("4821", "4821"));
  CHECK(begins_with_answer(" \n4821 is the code", "4821"));
  CHECK_FALSE(begins_with_answer("The code is 4821", "4821"));
  CHECK_FALSE(begins_with_answer("482", "4821"));
  CHECK_FALSE(begins_with_answer("", "4821"));
}

}  // namespace
}  // namespace secondsource
