#include "golden/golden_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/counted.h"

namespace secondsource {
namespace {

/// Computes log(sum(exp(logits))) in f64; `largest` is the largest logit.
double log_sum_exp(std::span<const float> logits, double largest) {
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum);
}

/// KL divergence: the sum of p (log p - log q) over the stored top ids, plus one bucket for all other ids.
double kl_to(const std::vector<TopToken>& top, std::span<const double> log_probabilities) {
  double kl = 0.0;
  double rest = 1.0;
  double candidate_rest = 1.0;
  for (std::size_t i = 0; i < top.size(); ++i) {
    const double p = std::exp(top[i].log_probability);
    kl += p * (top[i].log_probability - log_probabilities[i]);
    rest -= p;
    candidate_rest -= std::exp(log_probabilities[i]);
  }
  rest = std::max(rest, kRestFloor);
  candidate_rest = std::max(candidate_rest, kRestFloor);
  return kl + rest * std::log(rest / candidate_rest);
}

}  // namespace

PositionJudgement judge_position(const ExpectedOutput& expected, std::size_t index, std::span<const float> logits,
                                 double near_tie_tau) {
  SS_CHECK(index < expected.ids.size() && index < expected.top.size(), "a position of the record");
  const auto is_bad = [](float logit) { return !std::isfinite(logit); };
  if (logits.empty() || std::any_of(logits.begin(), logits.end(), is_bad)) return {.kind = PositionKind::kNonFinite};
  const auto best = std::max_element(logits.begin(), logits.end());  // among equal logits the lowest id wins
  const double normalizer = log_sum_exp(logits, static_cast<double>(*best));
  std::vector<double> log_probabilities;
  for (const TopToken& token : expected.top[index]) {
    log_probabilities.push_back(static_cast<double>(logits[static_cast<std::size_t>(token.id)]) - normalizer);
  }
  return judge_distribution(expected, index, static_cast<std::int32_t>(best - logits.begin()), log_probabilities,
                            near_tie_tau);
}

PositionJudgement judge_distribution(const ExpectedOutput& expected, std::size_t index, std::int32_t best_id,
                                     std::span<const double> log_probabilities, double near_tie_tau) {
  SS_CHECK(index < expected.ids.size() && index < expected.top.size(), "a position of the record");
  const std::vector<TopToken>& top = expected.top[index];
  SS_CHECK(log_probabilities.size() == top.size(), "a log-probability for each id of the record");
  const auto is_bad = [](double value) { return !std::isfinite(value); };
  if (std::any_of(log_probabilities.begin(), log_probabilities.end(), is_bad)) {
    return {.kind = PositionKind::kNonFinite};
  }
  PositionJudgement judgement = judge_best_id(expected, index, best_id, log_probabilities.front(), near_tie_tau);
  if (judgement.kind != PositionKind::kUnsteady) judgement.kl = kl_to(top, log_probabilities);
  return judgement;
}

PositionJudgement judge_best_id(const ExpectedOutput& expected, std::size_t index, std::int32_t best_id,
                                std::optional<double> log_probability, double near_tie_tau) {
  SS_CHECK(index < expected.ids.size() && index < expected.top.size(), "a position of the record");
  PositionJudgement judgement;
  judgement.best_id = best_id;
  if (expected.is_unsteady(index)) {
    judgement.kind = PositionKind::kUnsteady;
    return judgement;
  }
  if (log_probability) judgement.nll_difference = expected.top[index].front().log_probability - *log_probability;
  if (best_id == expected.ids[index]) return judgement;
  judgement.reference_gap = reference_gap(expected, index, best_id);
  judgement.kind = judgement.reference_gap <= near_tie_tau ? PositionKind::kNearTie : PositionKind::kWrong;
  return judgement;
}

PositionJudgement judge_log_probability(const ExpectedOutput& expected, std::size_t index, double log_probability,
                                        double near_tie_tau) {
  PositionJudgement judgement = judge_best_id(expected, index, expected.ids[index], log_probability, near_tie_tau);
  judgement.best_id = -1;
  if (judgement.kind == PositionKind::kUnsteady) return judgement;
  if (!(std::abs(judgement.nll_difference) <= near_tie_tau)) judgement.kind = PositionKind::kWrong;
  return judgement;
}

void GoldenTally::add(const PositionJudgement& judgement, double reference_margin, double near_tie_tau) {
  if (judgement.kind == PositionKind::kUnsteady) {
    ++n_unsteady;
    return;
  }
  ++n_positions;
  if (reference_margin <= near_tie_tau) ++n_reference_near;
  switch (judgement.kind) {
    case PositionKind::kMatch:
      ++n_match;
      break;
    case PositionKind::kNearTie:
      ++n_near_tie;
      break;
    case PositionKind::kWrong:
      ++n_wrong;
      break;
    case PositionKind::kNonFinite:
      ++n_non_finite;
      return;
    case PositionKind::kUnsteady:
      return;
  }
  kl_sum += judgement.kl;
  kl_worst = std::max(kl_worst, judgement.kl);
  nll_difference_sum += judgement.nll_difference;
}

double GoldenTally::kl_mean() const {
  const std::int64_t n_finite = n_positions - n_non_finite;
  return n_finite == 0 ? 0.0 : kl_sum / static_cast<double>(n_finite);
}

double GoldenTally::nll_difference_mean() const {
  const std::int64_t n_finite = n_positions - n_non_finite;
  return n_finite == 0 ? 0.0 : nll_difference_sum / static_cast<double>(n_finite);
}

std::int64_t GoldenTally::near_tie_limit() const {
  return std::max<std::int64_t>(2, n_reference_near / 2);
}

bool GoldenTally::is_weak() const {
  return 2 * n_reference_near > n_positions;
}

StreamJudgement judge_stream(const ExpectedOutput& expected, std::span<const std::int32_t> ids, double near_tie_tau) {
  const auto parted = std::mismatch(expected.ids.begin(), expected.ids.end(), ids.begin(), ids.end());
  StreamJudgement judgement{.n_equal = parted.first - expected.ids.begin()};
  if (parted.first == expected.ids.end() && parted.second == ids.end()) return judgement;
  judgement.kind = PositionKind::kWrong;
  if (parted.first == expected.ids.end() || parted.second == ids.end()) return judgement;
  const auto index = static_cast<std::size_t>(judgement.n_equal);
  if (expected.is_unsteady(index)) {
    judgement.kind = PositionKind::kUnsteady;
  } else if (reference_gap(expected, index, *parted.second) <= near_tie_tau) {
    judgement.kind = PositionKind::kNearTie;
  }
  return judgement;
}

namespace {

/// The text without replacement characters at its end, which stand for a character that is cut off.
std::string_view without_cut_character(std::string_view text) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  while (text.ends_with(kReplacement)) text.remove_suffix(kReplacement.size());
  return text;
}

}  // namespace

StreamJudgement judge_text(const ExpectedOutput& expected, const GeneratedText& generated, const DecodeIds& decode,
                           std::span<const std::int32_t> eos_ids, double near_tie_tau) {
  const bool expects_end = expected.finish == Finish::kEos && !expected.ids.empty();
  const std::size_t n_ids = expected.ids.size() - (expects_end ? 1 : 0);
  const std::span<const std::int32_t> ids = std::span(expected.ids).first(n_ids);
  const std::string_view text = without_cut_character(generated.text);
  const auto is_eos = [&](std::int32_t id) { return std::ranges::find(eos_ids, id) != eos_ids.end(); };
  const auto text_of = [&](std::span<const std::int32_t> some) {
    const std::string whole = decode(some);
    return std::string(without_cut_character(whole));
  };
  const auto judged_at = [&](std::size_t index, const auto& continues) {
    StreamJudgement judgement{.kind = PositionKind::kWrong, .n_equal = static_cast<std::int64_t>(index)};
    if (index >= expected.top.size()) return judgement;
    if (expected.is_unsteady(index)) {
      judgement.kind = PositionKind::kUnsteady;
      return judgement;
    }
    for (const TopToken& token : expected.top[index]) {
      if (token.id == expected.ids[index] || reference_gap(expected, index, token.id) > near_tie_tau) continue;
      if (continues(token.id)) judgement.kind = PositionKind::kNearTie;
    }
    return judgement;
  };
  for (std::size_t index = 0; index < n_ids; ++index) {
    const std::string before = text_of(ids.first(index));
    if (generated.ended && text == before && text_of(ids) != before) return judged_at(index, is_eos);
    if (text.starts_with(text_of(ids.first(index + 1)))) continue;
    return judged_at(index, [&](std::int32_t id) {
      if (is_eos(id)) return false;
      std::vector<std::int32_t> other(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(index));
      other.push_back(id);
      const std::string alternative = text_of(other);
      return alternative != before && text.starts_with(alternative);
    });
  }
  StreamJudgement judgement{.n_equal = static_cast<std::int64_t>(expected.ids.size())};
  if (text == text_of(ids) && (!expects_end || generated.ended)) return judgement;
  if (!expects_end) {
    judgement.kind = PositionKind::kWrong;
    return judgement;
  }
  // The reference ended here, but the text continues.
  return judged_at(n_ids, [&](std::int32_t id) {
    std::vector<std::int32_t> other(ids.begin(), ids.end());
    other.push_back(id);
    return !is_eos(id) && text.starts_with(text_of(other));
  });
}

bool begins_with_answer(std::string_view text, std::string_view answer) {
  const std::size_t first = text.find_first_not_of(" \t\n\v\f\r");
  return first != std::string_view::npos && text.substr(first).starts_with(answer);
}

std::vector<std::string> broken_rules(const GoldenTally& tally, const Acceptance& acceptance) {
  std::vector<std::string> broken;
  if (tally.n_non_finite > 0) {
    broken.push_back(fmt::format("logits: expected finite numbers, found a NaN or an infinity at {}",
                                 counted(tally.n_non_finite, "position")));
  }
  if (tally.n_wrong > 0) {
    broken.push_back(
        fmt::format("tokens: expected no wrong one, found {} of {} positions wrong", tally.n_wrong, tally.n_positions));
  }
  if (tally.n_near_tie > tally.near_tie_limit()) {
    broken.push_back(fmt::format("near ties: expected at most {} (the reference has {} near ties of its own), found {}",
                                 tally.near_tie_limit(), tally.n_reference_near, tally.n_near_tie));
  }
  const double kl_mean_limit = std::max(kNegligibleKl, kMaxKlMeanOverEnvelope * acceptance.kl_mean);
  if (!(tally.kl_mean() <= kl_mean_limit)) {
    broken.push_back(fmt::format("mean KL: expected at most {:.3g}, found {:.3g}", kl_mean_limit, tally.kl_mean()));
  }
  const double kl_worst_limit = std::max(kNegligibleKl, kMaxKlWorstOverEnvelope * acceptance.kl_worst);
  if (!(tally.kl_worst <= kl_worst_limit)) {
    broken.push_back(fmt::format("worst KL: expected at most {:.3g}, found {:.3g}", kl_worst_limit, tally.kl_worst));
  }
  const double nll_limit = std::max(kNegligibleNll, kMaxNllOverEnvelope * acceptance.nll_difference_mean);
  if (!(std::abs(tally.nll_difference_mean()) <= nll_limit)) {
    broken.push_back(fmt::format("mean difference in NLL: expected at most {:.3g} either way, found {:.3g}", nll_limit,
                                 tally.nll_difference_mean()));
  }
  return broken;
}

}  // namespace secondsource
