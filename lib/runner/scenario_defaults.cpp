#include "runner/scenario_defaults.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>

#include "measure/arrival_trace.h"
#include "record/ranges.h"
#include "systems/workload.h"

namespace secondsource {
namespace {

constexpr std::int32_t kDefaultOutputTokens = 32;
constexpr std::int32_t kDefaultPromptTokens = 256;
constexpr std::int32_t kQuestionTokens = 64;  ///< of each turn of a conversation
// Three repetitions of 25 requests suffice for a 95th percentile with its confidence interval.
constexpr std::int32_t kSingleStreamRequests = 25;
constexpr double kServerSeconds = 2.0;
constexpr std::int32_t kServerBatch = 16;
// Upper limits for the lengths that a trace asks for.
constexpr std::int32_t kTracePromptTokens = 1024;
constexpr std::int32_t kTraceOutputTokens = 256;
constexpr std::int32_t kSwapRequestsPerModel = 16;
constexpr std::int32_t kOracleRequests = 2;

std::int32_t requests_of(const Scenario& scenario, bool has_prompts, bool is_oracle) {
  switch (scenario.kind) {
    case ScenarioKind::kSingleStream:
      return is_oracle ? kOracleRequests : kSingleStreamRequests;
    case ScenarioKind::kOffline:
      // A second wave of requests keeps the batch full for longer. Bundles without prompts do without it, since it
      // can take minutes.
      return has_prompts ? std::max(8, 2 * scenario.batch) : scenario.batch;
    case ScenarioKind::kServer:
      if (scenario.seeks_slo_rate) return 0;  // as many as arrive while the attempts last
      return std::max(8, static_cast<std::int32_t>(kServerSeconds * scenario.rate_per_s));
    case ScenarioKind::kSwap:
      return kSwapRequestsPerModel * static_cast<std::int32_t>(scenario.swap->models.size());
  }
  return 0;
}

/// Checks that cancelled requests are cancelled before their end, and that they share no prefix.
Result<void> check_cancelled(const Scenario& scenario) {
  if (scenario.cancel_share > 0 && scenario.cancel_after >= scenario.n_output_tokens) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("scenario {}: expected +cancel=SHARE:TOKENS with fewer tokens than the {} output "
                             "tokens of a request",
                             scenario.name(), scenario.n_output_tokens)};
  }
  if (scenario.cancel_share > 0 && scenario.n_shared_prefix > 0) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("scenario {}: expected +cancel or +prefix: the cache of a cancelled request cannot be shared",
                    scenario.name())};
  }
  return {};
}

/// Checks requests with fixed lengths. Recorded requests are left out one by one instead, and conversations grow.
Result<void> check_lengths(const Scenario& scenario, std::string_view model, const ModelConfig& config) {
  if (scenario.arrivals == ArrivalKind::kTrace || scenario.has_conversations()) return {};
  // The shortest golden prompt has one token. The last token of an answer is never an input, so it needs no position.
  const std::int64_t n_prompt = std::max(1, scenario.n_prompt_tokens);
  if (n_prompt + scenario.n_output_tokens - 1 <= config.max_seq_len) return {};
  const std::string prompts =
      scenario.n_prompt_tokens > 0 ? fmt::format("prompts of {} tokens and ", scenario.n_prompt_tokens) : "";
  return Error{ErrorCode::kInvalidInput,
               fmt::format("scenario {}: expected requests that fit into the context of {}, which is {} tokens; found "
                           "{}answers of {} tokens (@PROMPT/OUTPUT sets the lengths)",
                           scenario.name(), model, config.max_seq_len, prompts, scenario.n_output_tokens)};
}

/// The most tokens of prompt and answer together that a growing conversation or a recorded request may have. It is two
/// below the limit of check_lengths(); the counts of left-out requests in stored runs depend on this margin.
std::int64_t most_tokens_of_varying_request(const ModelConfig& config) {
  return config.max_seq_len - 1;
}

/// Checks that the model's positions can hold the last turn, whose prompt is the whole conversation.
Result<void> check_conversations(const Scenario& scenario, std::string_view model, const ModelConfig& config) {
  if (!scenario.has_conversations()) return {};
  const std::int64_t context = most_tokens_of_varying_request(config);
  const std::int64_t longest = tokens_of_turn(scenario, scenario.turns - 1) + scenario.n_output_tokens;
  if (longest <= context) return {};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("scenario {}: expected conversations of at most {} tokens, which the context of {} holds, "
                           "found {} turns of {} + {} tokens, {} in all",
                           scenario.name(), context, model, scenario.turns, scenario.n_prompt_tokens,
                           scenario.n_output_tokens, longest)};
}

/// Counts the recorded requests that the model's context cannot hold, even with their lengths limited, and leaves them out.
Result<void> leave_out_too_long(Scenario& scenario, std::string_view model, const ModelConfig& config) {
  if (scenario.arrivals != ArrivalKind::kTrace) return {};
  SS_TRY(const ArrivalTrace trace, read_arrival_trace(scenario.trace));
  scenario.trace_context = static_cast<std::int32_t>(most_tokens_of_varying_request(config));
  const auto n_recorded = std::min<std::size_t>(trace.entries.size(), static_cast<std::size_t>(scenario.n_requests));
  scenario.n_too_long = static_cast<std::int32_t>(std::ranges::count_if(
      std::span(trace.entries).first(n_recorded),
      [&](const TraceEntry& entry) { return is_too_long(entry, scenario, scenario.trace_context); }));
  scenario.n_requests -= scenario.n_too_long;
  if (scenario.n_requests > 0) return {};
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format("scenario {}: expected recorded requests that fit into the context of {}, {} tokens, found none of "
                  "{}; @PROMPT/OUTPUT limits their lengths",
                  scenario.name(), model, config.max_seq_len, n_recorded)};
}

}  // namespace

Scenario with_defaults(Scenario scenario, bool has_prompts, bool is_oracle, const ModelConfig& config) {
  const auto max_seq_len = static_cast<std::int32_t>(config.max_seq_len);
  const bool is_trace = scenario.arrivals == ArrivalKind::kTrace;
  if (scenario.n_output_tokens == 0) {
    scenario.n_output_tokens = std::min(is_trace ? kTraceOutputTokens : kDefaultOutputTokens, max_seq_len / 4);
    if (scenario.has_conversations()) {
      scenario.n_output_tokens = std::max(1, std::min(scenario.n_output_tokens, max_seq_len / (2 * scenario.turns)));
    }
  }
  const bool has_random_prompts =
      !has_prompts || is_trace || scenario.n_shared_prefix > 0 || scenario.has_conversations();
  if (scenario.n_prompt_tokens == 0 && has_random_prompts) {
    const std::int32_t wanted = is_trace ? kTracePromptTokens : scenario.n_shared_prefix + kDefaultPromptTokens;
    scenario.n_prompt_tokens = std::min(wanted, max_seq_len / 2);
    // A shared prefix is never cut: where the context does not hold it, the plan is refused.
    if (scenario.n_shared_prefix > 0 && !is_trace) {
      const std::int32_t most = max_seq_len - scenario.n_output_tokens;
      scenario.n_prompt_tokens = std::max(std::min(wanted, most), scenario.n_shared_prefix + 1);
    }
    if (scenario.has_conversations()) {
      const std::int32_t of_turn = max_seq_len / scenario.turns - scenario.n_output_tokens;
      scenario.n_prompt_tokens = std::max(1, std::min(kQuestionTokens, of_turn - 1));
    }
  }
  if (scenario.kind == ScenarioKind::kServer) scenario.batch = kServerBatch;
  // For conversations, this counts conversations.
  if (scenario.n_requests == 0) {
    scenario.n_requests = std::min(requests_of(scenario, has_prompts, is_oracle), kRequestsRange.max / scenario.turns);
    scenario.n_requests *= scenario.turns;
  }
  return scenario;
}

Result<void> fit_into_context(Scenario& scenario, std::string_view model, const ModelConfig& config) {
  SS_TRY_VOID(leave_out_too_long(scenario, model, config));
  SS_TRY_VOID(check_cancelled(scenario));
  SS_TRY_VOID(check_lengths(scenario, model, config));
  return check_conversations(scenario, model, config);
}

}  // namespace secondsource
