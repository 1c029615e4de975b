#include "systems/foreign_golden.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/counted.h"
#include "core/enum_format.h"
#include "core/utf8.h"
#include "systems/loaded_golden.h"

namespace secondsource {
namespace {

constexpr std::size_t kMostFindings = 5;
// How many requests are repeated to measure determinism, and how many tokens each of them generates.
constexpr std::size_t kRepeatedRequests = 8;
constexpr std::int32_t kRepeatedTokens = 32;

std::string text_of_gap(double gap) {
  return std::isinf(gap) ? "not among the reference's best"
                         : fmt::format("whose log-probability in the reference is {:.3g} lower", gap);
}

class Pass {
 public:
  Pass(TokenSource& source, const GoldenInputs& inputs, std::span<const std::int32_t> eos_ids, Progress& progress)
      : source_(source), inputs_(inputs), eos_ids_(eos_ids), progress_(progress) {}

  Result<GoldenRecord> run() {
    const std::int64_t started_ns = now_ns();
    choose_cases();
    progress_.begin(fmt::format("golden pass, {}", source_.name()), static_cast<std::int64_t>(cases_.size()));
    SS_TRY(const bool is_scored, score_all());
    SS_TRY_VOID(generate_all(is_scored));
    SS_TRY_VOID(repeat());
    conclude();
    record_.duration_ns = now_ns() - started_ns;
    return std::move(record_);
  }

 private:
  void choose_cases() {
    std::int32_t n_not_sent = 0;
    for (const GoldenCase& one : inputs_.cases) {
      if (source_.takes(one.prompt)) {
        cases_.push_back(&one);
      } else {
        ++n_not_sent;
      }
    }
    if (n_not_sent == 0) return;
    record_.n_skipped += n_not_sent;
    notes_.push_back(fmt::format("{} cannot be sent to {} so that it works on the ids themselves",
                                 counted(n_not_sent, "prompt"), source_.entrance()));
  }

  /// Scores all cases if the system can. False if it cannot; a note then says why.
  Result<bool> score_all() {
    const std::optional<VerdictLevel> level = source_.forced_level();
    if (!level || cases_.empty()) return false;
    for (const GoldenCase* one : cases_) {
      SS_TRY(const Given<std::vector<ForcedScore>> scores, source_.score(*one));
      progress_.update(++n_steps_);
      for (std::size_t index = 0; index < scores.value.size(); ++index) judge_score(*one, index, scores.value[index]);
      if (scores.why_not.empty()) {
        ++n_judged_;
        continue;
      }
      if (tally_.n_positions + tally_.n_unsteady == 0) {
        notes_.push_back(fmt::format("no log-probabilities of given ids: {}", scores.why_not));
        return false;
      }
      skip(*one, scores.why_not);
    }
    record_.level = level;
    return true;
  }

  [[nodiscard]] PositionJudgement judgement_of(const ExpectedOutput& expected, std::size_t index,
                                               const ForcedScore& score) const {
    const double tau = inputs_.acceptance.near_tie_tau;
    if (source_.forced_level() == VerdictLevel::kLogits) {
      return judge_distribution(expected, index, *score.best_id, score.top, tau);
    }
    return score.best_id ? judge_best_id(expected, index, *score.best_id, score.log_probability, tau)
                         : judge_log_probability(expected, index, score.log_probability.value_or(-INFINITY), tau);
  }

  void judge_score(const GoldenCase& one, std::size_t index, const ForcedScore& score) {
    const ExpectedOutput& expected = one.expected;
    const double tau = inputs_.acceptance.near_tie_tau;
    const PositionJudgement judgement = judgement_of(expected, index, score);
    knows_all_nll_ = knows_all_nll_ && score.log_probability.has_value();
    tally_.add(judgement, expected.top1_margin[index], tau);
    if (judgement.kind == PositionKind::kNonFinite) {
      findings_.push_back(
          fmt::format("prompt {}, token {}: expected finite logits, found others", one.prompt.id, index));
    }
    if (judgement.kind != PositionKind::kWrong) return;
    const std::string found =
        score.best_id
            ? fmt::format("expected id {}, found {}, {}", expected.ids[index], *score.best_id,
                          text_of_gap(judgement.reference_gap))
            : fmt::format("expected id {} with a log-probability of {:.3g}, found {:.3g}", expected.ids[index],
                          expected.top[index].front().log_probability, score.log_probability.value_or(-INFINITY));
    findings_.push_back(fmt::format("prompt {}, token {}: {}", one.prompt.id, index, found));
  }

  void skip(const GoldenCase& one, const std::string& why) {
    record_.n_skipped += 1;
    notes_.push_back(fmt::format("prompt {}: not judged: {}", one.prompt.id, why));
  }

  /// Judges freely generated answers: to every prompt, or, if all positions were judged already, only to those that are
  /// to be streamed.
  Result<void> generate_all(bool is_scored) {
    std::int32_t n_streamed = 0;
    for (const GoldenCase* const next : cases_) {
      const GoldenCase& one = *next;
      if (is_scored && !one.prompt.stream) continue;
      // Asks for one token more than needed: a server that generates the end of text as its last token may report `length`.
      const bool ends = one.expected.finish == Finish::kEos;
      const auto n_tokens = static_cast<std::int32_t>(one.expected.ids.size()) + (ends ? 1 : 0);
      SS_TRY(Given<GeneratedAnswer> given, source_.generate(one.prompt, n_tokens));
      progress_.update(++n_steps_);
      const GeneratedAnswer& answer = given.value;
      const auto n_ids = static_cast<std::int32_t>(one.prompt.ids.size());
      if (answer.n_prompt_tokens && *answer.n_prompt_tokens != n_ids) {
        given.why_not =
            fmt::format("the server counts {}, the bundle {}", counted(*answer.n_prompt_tokens, "prompt token"), n_ids);
      }
      if (!given.why_not.empty()) {
        if (!is_scored) skip(one, given.why_not);
        continue;
      }
      if (answer.ids.empty() && inputs_.tokenizer == nullptr) continue;
      judge_generated(one, answer, is_scored);
      n_streamed += one.prompt.stream ? 1 : 0;
      if (!is_scored) ++n_judged_;
    }
    if (n_streamed > 0) record_.n_streamed = n_streamed;
    if (!is_scored && n_judged_ > 0) record_.level = has_texts_only_ ? VerdictLevel::kText : VerdictLevel::kGreedy;
    return {};
  }

  void judge_generated(const GoldenCase& one, const GeneratedAnswer& answer, bool is_scored) {
    const ExpectedOutput& expected = one.expected;
    const double tau = inputs_.acceptance.near_tie_tau;
    has_texts_only_ = has_texts_only_ || answer.ids.empty();
    const StreamJudgement judgement = answer.ids.empty()
                                          ? judge_text(
                                                expected, {.text = answer.text, .ended = answer.ended},
                                                [this](std::span<const std::int32_t> ids) {
                                                  return inputs_.tokenizer->decode(ids, {.skip_special = true});
                                                },
                                                eos_ids_, tau)
                                          : judge_stream(expected, with_end(answer), tau);
    const auto n_equal = static_cast<std::size_t>(judgement.n_equal);
    if (!is_scored) {
      for (std::size_t index = 0; index < n_equal; ++index) tally_.add({}, expected.top1_margin[index], tau);
      if (n_equal < expected.ids.size() && judgement.kind != PositionKind::kMatch) {
        tally_.add({.kind = judgement.kind}, expected.top1_margin[n_equal], tau);
      }
    }
    const bool is_longer = n_equal == expected.ids.size() && judgement.kind == PositionKind::kWrong;
    if (is_longer && !is_scored) ++n_longer_;
    if (judgement.kind != PositionKind::kWrong) return;
    findings_.push_back(fmt::format("prompt {}, generated, token {}: expected {}, found {}", one.prompt.id, n_equal,
                                    is_longer ? "the end" : fmt::format("id {}", expected.ids[n_equal]),
                                    found_at(expected, answer, n_equal)));
  }

  /// What the answer has after the tokens that are equal to the reference's.
  [[nodiscard]] std::string found_at(const ExpectedOutput& expected, const GeneratedAnswer& answer,
                                     std::size_t n_equal) const {
    if (n_equal < answer.ids.size()) return fmt::format("id {}", answer.ids[n_equal]);
    const bool is_its_beginning =
        !answer.ids.empty() ||
        (n_equal < expected.ids.size() &&
         inputs_.tokenizer->decode(expected.ids, {.skip_special = true}).starts_with(answer.text));
    return is_its_beginning ? fmt::format("the end of the answer after {} tokens", n_equal) : in_quotes(answer.text);
  }

  /// The ids with the end of text appended, since some servers leave it out.
  [[nodiscard]] std::vector<std::int32_t> with_end(const GeneratedAnswer& answer) const {
    std::vector<std::int32_t> ids = answer.ids;
    const bool has_end = std::ranges::find(eos_ids_, ids.back()) != eos_ids_.end();
    if (answer.ended && !has_end && !eos_ids_.empty()) ids.push_back(eos_ids_.front());
    return ids;
  }

  /// Sends some requests alone, alone once more, and then all at once.
  Result<void> repeat() {
    std::vector<const EncodedPrompt*> prompts;
    for (const GoldenCase* one : cases_) {
      if (prompts.size() < kRepeatedRequests) prompts.push_back(&one->prompt);
    }
    if (prompts.size() < 2) return {};
    std::vector<std::optional<GeneratedAnswer>> first, second;
    for (const EncodedPrompt* const& prompt : prompts) {
      for (auto* const answers : {&first, &second}) {
        SS_TRY(auto alone, source_.generate_together(std::span(&prompt, 1), kRepeatedTokens));
        answers->push_back(std::move(alone.front()));
        progress_.update(++n_steps_);
      }
    }
    SS_TRY(const auto together, source_.generate_together(prompts, kRepeatedTokens));
    const auto is_same = [](const auto& a, const auto& b) { return a && b && a->ids == b->ids && a->text == b->text; };
    std::int32_t n_tried = 0, n_twice = 0, n_batch = 0;
    for (std::size_t index = 0; index < prompts.size(); ++index) {
      if (!first[index]) continue;
      ++n_tried;
      n_twice += is_same(first[index], second[index]) ? 1 : 0;
      n_batch += is_same(first[index], together[index]) ? 1 : 0;
    }
    record_.n_repeated = n_tried;
    record_.n_same_twice = n_twice;
    record_.n_same_in_batch = n_batch;
    if (n_twice < n_tried || n_batch < n_tried) {
      notes_.push_back(
          fmt::format("not deterministic: of {} requests {} had the same answer when sent alone once more, "
                      "and {} when all were sent at once",
                      n_tried, n_twice, n_batch));
    }
    return {};
  }

  void conclude() {
    record_.n_prompts = n_judged_;
    record_.n_positions = tally_.n_positions;
    record_.n_match = tally_.n_match;
    record_.n_near_tie = tally_.n_near_tie;
    record_.n_wrong = tally_.n_wrong + tally_.n_non_finite;
    if (tally_.n_positions == 0) {
      record_.verdict = GoldenVerdict::kUnverified;
      record_.reasons.push_back("no golden prompt could be judged");
    } else {
      if (record_.level == VerdictLevel::kLogits) {
        record_.kl_mean = tally_.kl_mean();
        record_.kl_worst = tally_.kl_worst;
      }
      const bool is_nll_known = record_.level == VerdictLevel::kLogits || record_.level == VerdictLevel::kLogprob ||
                                (record_.level == VerdictLevel::kForced && knows_all_nll_);
      if (is_nll_known) record_.nll_difference_mean = tally_.nll_difference_mean();
      if (!record_.nll_difference_mean) tally_.nll_difference_sum = 0;  // it is not known at every position
      record_.reasons = broken_rules(tally_, inputs_.acceptance);
      if (n_longer_ > 0) {
        record_.reasons.push_back(
            fmt::format("answers: expected the end of the reference's, found {} longer", n_longer_));
      }
      const std::size_t n_shown = std::min(findings_.size(), kMostFindings);
      record_.reasons.insert(record_.reasons.end(), findings_.begin(),
                             findings_.begin() + static_cast<std::ptrdiff_t>(n_shown));
      record_.verdict = record_.reasons.empty() ? GoldenVerdict::kPassed : GoldenVerdict::kFailed;
    }
    record_.reasons.insert(record_.reasons.end(), notes_.begin(), notes_.end());
    record_.reasons.insert(record_.reasons.end(), inputs_.left_out.begin(), inputs_.left_out.end());
  }

  TokenSource& source_;
  const GoldenInputs& inputs_;
  std::span<const std::int32_t> eos_ids_;  ///< of the model
  Progress& progress_;
  std::vector<const GoldenCase*> cases_;
  GoldenRecord record_;
  GoldenTally tally_;
  std::vector<std::string> findings_;
  std::vector<std::string> notes_;
  bool knows_all_nll_ = true;
  bool has_texts_only_ = false;
  std::int32_t n_judged_ = 0;
  std::int32_t n_longer_ = 0;
  std::int64_t n_steps_ = 0;
};

/// Counts how many of the oracle's answers the system repeats.
Result<GoldenRecord> compare_foreign_with_oracle(TokenSource& source, const OracleAnswers& answers) {
  if (!source.takes_and_gives_ids()) {
    GoldenRecord record;
    record.verdict = GoldenVerdict::kUnverified;
    record.reasons.push_back("no expected outputs, and the system takes or gives no ids to compare with those of " +
                             answers.oracle);
    return record;
  }
  return compare_with_oracle(
      answers,
      [&](const std::vector<std::int32_t>& prompt, std::int32_t n_tokens) -> Result<std::vector<std::int32_t>> {
        EncodedPrompt encoded;
        encoded.ids = prompt;
        SS_TRY(Given<GeneratedAnswer> answer, source.generate(encoded, n_tokens));
        if (!answer.why_not.empty()) return Error{ErrorCode::kUnavailable, answer.why_not};
        return std::move(answer.value.ids);
      });
}

}  // namespace

Result<GoldenRecord> verify_foreign_tokens(const SystemJob& job, const GoldenInputs& inputs,
                                           const std::optional<OracleAnswers>& answers,
                                           std::span<const std::int32_t> eos_ids, TokenSource& source,
                                           Progress& progress) {
  const auto against_expected = [&] { return Pass(source, inputs, eos_ids, progress).run(); };
  const auto against_oracle = [&](const OracleAnswers& oracle) { return compare_foreign_with_oracle(source, oracle); };
  return verify_tokens(job, inputs, answers, {against_expected, against_oracle});
}

}  // namespace secondsource
