#include "systems/served_golden.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/enum_format.h"
#include "core/utf8.h"
#include "serving/forced_scores.h"
#include "serving/preset.h"
#include "systems/loaded_golden.h"
#include "systems/served_prompt.h"

namespace secondsource {
namespace {

constexpr std::size_t kMostFindings = 5;
// Requests by which determinism is measured, and the tokens of each.
constexpr std::size_t kRepeatedRequests = 8;
constexpr std::int32_t kRepeatedTokens = 32;

std::string text_of_gap(double gap) {
  return std::isinf(gap) ? "not among the reference's best" : fmt::format("{:.3g} below in the reference", gap);
}

/// A reply to one request: its body, or why there is none.
struct Reply {
  std::string body{};
  std::string refusal{};  ///< the server answered, and not with what was asked for
};

class Pass {
 public:
  Pass(ServedEndpoint& endpoint, const GoldenInputs& inputs, const ServedGoldenOptions& options, Progress& progress)
      : endpoint_(endpoint),
        system_(endpoint.system()),
        facts_(facts_of(system_.preset)),
        inputs_(inputs),
        options_(options),
        progress_(progress) {}

  Result<GoldenRecord> run() {
    const std::int64_t started_ns = now_ns();
    choose_cases();
    progress_.begin(fmt::format("golden pass, {}", endpoint_.name()), static_cast<std::int64_t>(cases_.size()));
    SS_TRY(const bool is_scored, score_all());
    SS_TRY_VOID(generate_all(is_scored));
    SS_TRY_VOID(repeat());
    conclude();
    record_.duration_ns = now_ns() - started_ns;
    return std::move(record_);
  }

 private:
  struct Case {
    const GoldenCase* golden = nullptr;
    ServedPrompt prompt;
  };

  void choose_cases() {
    std::int32_t n_not_sent = 0;
    for (const GoldenCase& one : inputs_.cases) {
      if (auto prompt = exact_prompt(one.prompt, system_, inputs_.tokenizer)) {
        cases_.push_back({&one, *std::move(prompt)});
      } else {
        ++n_not_sent;
      }
    }
    if (n_not_sent == 0) return;
    record_.n_skipped += n_not_sent;
    notes_.push_back(fmt::format("{} prompts cannot be sent to the {} API of this server so that it works on their ids",
                                 n_not_sent, system_.api));
  }

  Result<Reply> post(const NativeCall& call) {
    HttpCall http;
    http.url = call.url;
    http.body = call.body;
    http.timeout_ns = static_cast<std::int64_t>(1e9 * system_.timeout_s);
    SS_TRY(HttpReply reply, endpoint_.client().fetch(std::move(http), [this] { progress_.update(++n_steps_); }));
    std::string refusal = refusal_of(reply.end, reply.body, "application/json", endpoint_.client().key());
    const long status = reply.end.status;
    if (status == 429 || status >= 500) {
      return Error{ErrorCode::kUnavailable, fmt::format("{}: {}", call.url, refusal)};
    }
    return Reply{std::move(reply.body), std::move(refusal)};
  }

  /// Scores all cases if the server can. False: it cannot, and a note says why.
  Result<bool> score_all() {
    if (facts_.scores == ForcedScores::kNone || system_.api == ServedApi::kChat || cases_.empty()) return false;
    for (const Case& one : cases_) {
      SS_TRY(const std::optional<std::string> why_not, score(one));
      if (!why_not) continue;
      if (tally_.n_positions + tally_.n_unsteady == 0) {
        notes_.push_back(fmt::format("no log-probabilities of given ids: {}", *why_not));
        return false;
      }
      skip(one, *why_not);
    }
    record_.level = facts_.scores == ForcedScores::kTgiPrefillDetails ? VerdictLevel::kLogprob : VerdictLevel::kForced;
    return true;
  }

  /// Returns why the server gives no scores for this case; nullopt if it does.
  Result<std::optional<std::string>> score(const Case& one) {
    const ExpectedOutput& expected = one.golden->expected;
    std::vector<std::int32_t> ids = one.golden->prompt.ids;
    ids.insert(ids.end(), expected.ids.begin(), expected.ids.end());
    std::string text = one.prompt.text;
    if (inputs_.tokenizer != nullptr) text += inputs_.tokenizer->decode(expected.ids);
    const ForcedIds forced{.ids = ids, .n_prompt = one.golden->prompt.ids.size(), .text = text};
    std::vector<ForcedScore> scores;
    for (std::size_t call = 0; call < n_score_calls(system_, forced); ++call) {
      SS_TRY(const Reply reply, post(score_call(system_, forced, call)));
      if (!reply.refusal.empty()) return std::optional(reply.refusal);
      const auto parsed = parse_scores(system_, reply.body, forced, call);
      if (!parsed) return std::optional(endpoint_.client().key().cut_from(parsed.error().message));
      scores.insert(scores.end(), parsed->begin(), parsed->end());
    }
    for (std::size_t index = 0; index < scores.size(); ++index) judge_score(one, index, scores[index]);
    ++n_judged_;
    return std::optional<std::string>();
  }

  void judge_score(const Case& one, std::size_t index, const ForcedScore& score) {
    const ExpectedOutput& expected = one.golden->expected;
    const double tau = inputs_.acceptance.near_tie_tau;
    const PositionJudgement judgement =
        score.best_id ? judge_best_id(expected, index, *score.best_id, score.log_probability, tau)
                      : judge_log_probability(expected, index, score.log_probability.value_or(-INFINITY), tau);
    knows_all_nll_ = knows_all_nll_ && score.log_probability.has_value();
    tally_.add(judgement, expected.top1_margin[index], tau);
    if (judgement.kind != PositionKind::kWrong) return;
    const std::string found =
        score.best_id
            ? fmt::format("expected id {}, found {}, {}", expected.ids[index], *score.best_id,
                          text_of_gap(judgement.reference_gap))
            : fmt::format("expected id {} with a log-probability of {:.3g}, found {:.3g}", expected.ids[index],
                          expected.top[index].front().log_probability, score.log_probability.value_or(-INFINITY));
    findings_.push_back(fmt::format("prompt {}, token {}: {}", one.golden->prompt.id, index, found));
  }

  void skip(const Case& one, const std::string& why) {
    record_.n_skipped += 1;
    notes_.push_back(fmt::format("prompt {}: not judged: {}", one.golden->prompt.id, why));
  }

  Result<std::optional<GeneratedAnswer>> generate(const Case& one, std::int32_t n_tokens, std::string& why_not) {
    SS_TRY(const Reply reply, post(generate_call(system_, one.prompt, n_tokens)));
    if (!reply.refusal.empty()) {
      why_not = reply.refusal;
      return std::optional<GeneratedAnswer>();
    }
    auto answer = parse_generated(system_, reply.body);
    if (!answer) return answer.error().with_context(fmt::format("prompt {}", one.golden->prompt.id));
    return std::optional(*std::move(answer));
  }

  /// Judges what the server generates freely: of every prompt, or of those that are to be streamed if all positions were
  /// judged already.
  Result<void> generate_all(bool is_scored) {
    std::int32_t n_streamed = 0;
    for (const Case& one : cases_) {
      if (is_scored && !one.golden->prompt.stream) continue;
      std::string why_not;
      // Asks for one token more than needed: a server that generates the end of text as its last token may report `length`.
      const bool ends = one.golden->expected.finish == Finish::kEos;
      const auto n_tokens = static_cast<std::int32_t>(one.golden->expected.ids.size()) + (ends ? 1 : 0);
      SS_TRY(const std::optional<GeneratedAnswer> answer, generate(one, n_tokens, why_not));
      const auto n_ids = static_cast<std::int32_t>(one.golden->prompt.ids.size());
      if (answer && answer->n_prompt_tokens && *answer->n_prompt_tokens != n_ids) {
        why_not = fmt::format("the server counts {} prompt tokens, the bundle {}", *answer->n_prompt_tokens, n_ids);
      }
      if (!why_not.empty()) {
        if (!is_scored) skip(one, why_not);
        continue;
      }
      if (answer->ids.empty() && inputs_.tokenizer == nullptr) continue;
      judge_generated(one, *answer, is_scored);
      n_streamed += one.golden->prompt.stream ? 1 : 0;
      if (!is_scored) ++n_judged_;
    }
    if (n_streamed > 0) record_.n_streamed = n_streamed;
    if (!is_scored && n_judged_ > 0) record_.level = has_texts_only_ ? VerdictLevel::kText : VerdictLevel::kGreedy;
    return {};
  }

  void judge_generated(const Case& one, const GeneratedAnswer& answer, bool is_scored) {
    const ExpectedOutput& expected = one.golden->expected;
    const double tau = inputs_.acceptance.near_tie_tau;
    has_texts_only_ = has_texts_only_ || answer.ids.empty();
    const StreamJudgement judgement = answer.ids.empty()
                                          ? judge_text(
                                                expected, {.text = answer.text, .ended = answer.ended},
                                                [this](std::span<const std::int32_t> ids) {
                                                  return inputs_.tokenizer->decode(ids, {.skip_special = true});
                                                },
                                                options_.eos_ids, tau)
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
    const std::string found = answer.ids.empty()            ? in_quotes(answer.text)
                              : n_equal < answer.ids.size() ? fmt::format("id {}", answer.ids[n_equal])
                                                            : std::string("the end");
    findings_.push_back(fmt::format("prompt {}, generated, token {}: expected {}, found {}", one.golden->prompt.id,
                                    n_equal, is_longer ? "the end" : fmt::format("id {}", expected.ids[n_equal]),
                                    found));
  }

  /// The ids with the end of text appended, since some servers leave it out.
  [[nodiscard]] std::vector<std::int32_t> with_end(const GeneratedAnswer& answer) const {
    std::vector<std::int32_t> ids = answer.ids;
    const bool has_end = std::ranges::find(options_.eos_ids, ids.back()) != options_.eos_ids.end();
    if (answer.ended && !has_end && !options_.eos_ids.empty()) ids.push_back(options_.eos_ids.front());
    return ids;
  }

  /// Sends some requests alone, alone once more, and then all at once.
  Result<void> repeat() {
    std::vector<NativeCall> calls;
    for (const Case& one : cases_) {
      if (calls.size() < kRepeatedRequests) calls.push_back(generate_call(system_, one.prompt, kRepeatedTokens));
    }
    if (calls.size() < 2) return {};
    std::vector<std::optional<GeneratedAnswer>> first, second;
    for (const NativeCall& call : calls) {
      for (auto* const answers : {&first, &second}) {
        SS_TRY(const Reply reply, post(call));
        answers->push_back(reply.refusal.empty() ? answer_in(reply.body) : std::nullopt);
      }
    }
    SS_TRY(const auto together, post_together(calls));
    const auto is_same = [](const auto& a, const auto& b) { return a && b && a->ids == b->ids && a->text == b->text; };
    std::int32_t n_tried = 0, n_twice = 0, n_batch = 0;
    for (std::size_t index = 0; index < calls.size(); ++index) {
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

  [[nodiscard]] std::optional<GeneratedAnswer> answer_in(const std::string& body) const {
    auto answer = parse_generated(system_, body);
    return answer ? std::optional(*std::move(answer)) : std::nullopt;
  }

  Result<std::vector<std::optional<GeneratedAnswer>>> post_together(const std::vector<NativeCall>& calls) {
    HttpClient& client = endpoint_.client();
    std::vector<std::string> bodies(calls.size());
    for (std::size_t index = 0; index < calls.size(); ++index) {
      HttpCall http;
      http.url = calls[index].url;
      http.body = calls[index].body;
      http.timeout_ns = static_cast<std::int64_t>(1e9 * system_.timeout_s);
      http.on_body = [&body = bodies[index]](const HttpHead&, std::string_view bytes, std::int64_t) {
        body += bytes;
        return true;
      };
      SS_TRY_VOID(client.start(static_cast<std::int64_t>(index), std::move(http)));
    }
    std::vector<HttpEnd> ends;
    while (ends.size() < calls.size()) {
      progress_.update(++n_steps_);
      if (const Result<void> polled = client.poll(now_ns() + 200'000'000, ends); !polled) {
        client.cancel_all();
        return polled.error();
      }
    }
    std::vector<std::optional<GeneratedAnswer>> answers(calls.size());
    for (const HttpEnd& end : ends) {
      const auto index = static_cast<std::size_t>(end.id);
      if (end.error.empty() && end.status == 200) answers[index] = answer_in(bodies[index]);
    }
    return answers;
  }

  void conclude() {
    record_.n_prompts = n_judged_;
    record_.n_positions = tally_.n_positions;
    record_.n_match = tally_.n_match;
    record_.n_near_tie = tally_.n_near_tie;
    record_.n_wrong = tally_.n_wrong;
    if (tally_.n_positions == 0) {
      record_.verdict = GoldenVerdict::kUnverified;
      record_.reasons.push_back("no golden prompt could be judged");
    } else {
      if (record_.level == VerdictLevel::kForced && knows_all_nll_) {
        record_.nll_difference_mean = tally_.nll_difference_mean();
      }
      if (record_.level == VerdictLevel::kLogprob) record_.nll_difference_mean = tally_.nll_difference_mean();
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

  ServedEndpoint& endpoint_;
  const ServedSystem& system_;
  const PresetFacts& facts_;
  const GoldenInputs& inputs_;
  const ServedGoldenOptions& options_;
  Progress& progress_;
  std::vector<Case> cases_;
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

}  // namespace

Result<GoldenRecord> run_served_golden(ServedEndpoint& endpoint, const GoldenInputs& inputs,
                                       const ServedGoldenOptions& options, Progress& progress) {
  return Pass(endpoint, inputs, options, progress).run();
}

Result<GoldenRecord> compare_served_with_oracle(ServedEndpoint& endpoint, const OracleAnswers& answers,
                                                Progress& progress) {
  const ServedSystem& system = endpoint.system();
  const PresetFacts& facts = facts_of(system.preset);
  if (!facts.takes_ids || facts.ids == GeneratedIds::kNone || system.api == ServedApi::kChat) {
    GoldenRecord record;
    record.verdict = GoldenVerdict::kUnverified;
    record.reasons.push_back("no expected outputs, and the server takes or gives no ids to compare with those of " +
                             answers.oracle);
    return record;
  }
  std::int64_t n_steps = 0;
  return compare_with_oracle(
      answers,
      [&](const std::vector<std::int32_t>& prompt, std::int32_t n_tokens) -> Result<std::vector<std::int32_t>> {
        const NativeCall call = generate_call(system, {.ids = prompt, .text = {}}, n_tokens);
        HttpCall http;
        http.url = call.url;
        http.body = call.body;
        SS_TRY(const HttpReply reply, endpoint.client().fetch(std::move(http), [&] { progress.update(++n_steps); }));
        const std::string refusal = refusal_of(reply.end, reply.body, "application/json", endpoint.client().key());
        if (!refusal.empty()) return Error{ErrorCode::kUnavailable, fmt::format("{}: {}", call.url, refusal)};
        SS_TRY(GeneratedAnswer answer, parse_generated(system, reply.body));
        return std::move(answer.ids);
      });
}

}  // namespace secondsource
