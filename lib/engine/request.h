#pragma once
// The engine's input, a Request, and its output, TokenEvents.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "backend/batch.h"

namespace secondsource {

/// Identifies a request of one Engine. Ids ascend in the order of submission and are never reused.
enum class RequestId : std::int64_t {};

/// How generated tokens are chosen: greedily at temperature 0, otherwise at random, as a function of (seed, position)
/// alone (backend_kit/sampling.h).
struct SamplingOptions {
  float temperature = 0.0F;
  std::int32_t top_k = 0;  ///< 0 means no limit
  float top_p = 1.0F;
  std::uint64_t seed = 0;
};

struct Request {
  std::vector<std::int32_t> prompt_ids{};  ///< at least one id
  std::int32_t max_new_tokens = 0;         ///< 0 means that only the prompt is computed (a document to fork, or scores)
  /// When a longer generation is replayed: the number of tokens that it was allowed. A model with LongRoPE rotates by
  /// the length that a sequence may reach.
  std::int32_t may_generate = 0;
  SamplingOptions sampling{};
  /// Forced decode: the i-th generated token is forced_ids[i] whatever the model computes. Its log-probability is
  /// reported beside the model's own best token. Generation ends after the last one.
  std::vector<std::int32_t> forced_ids{};
  std::vector<std::int32_t> stop_ids{};  ///< each of these ends the generation and is itself reported
  /// Stop ids do not end the generation, and the first of them is never sampled, because timed runs have a fixed
  /// length.
  bool ignore_stop_ids = false;
  bool want_logits = false;  ///< TokenEvent::logits is filled
  bool want_top = false;     ///< TokenEvent::top is filled with EngineOptions::n_top entries
  /// Also emits an event for every prompt token but the first, with its log-probability given the tokens before it.
  bool score_prompt = false;
  /// Keeps the cache pages after the end, so that they can be forked, until release() or until the space is needed.
  bool hold = false;
  /// Shares the cache of the named request as far as its prompt and generated ids are the same as this prompt.
  std::optional<RequestId> fork_of{};
  std::int64_t max_forked_tokens = INT64_MAX;  ///< upper limit on the shared tokens
};

enum class FinishReason : std::uint8_t {
  kNone,       ///< more tokens follow
  kStop,       ///< a stop id
  kLength,     ///< max_new_tokens, or the end of forced_ids
  kContext,    ///< no position or cache page is left for another token
  kNonFinite,  ///< the logits contain a NaN or an infinity: the request failed, the device did not
};

/// "none", "stop", "length", "context" or "non-finite", as written to journals and reports.
[[nodiscard]] std::string_view to_string(FinishReason reason);

/// When a request passed the stages before its first token, on the monotonic clock.
struct RequestTimes {
  std::int64_t submitted_ns = 0;
  std::int64_t scheduled_ns = 0;  ///< the first step with one of its tokens was planned
  std::int64_t prefilled_ns = 0;  ///< the step with its last prompt token was submitted
  /// Time of copies between host and device in the steps up to its first token; empty if the backend reports none.
  std::optional<std::int64_t> transfer_ns = {};
  std::int32_t n_shared_tokens = 0;  ///< prompt tokens that were shared by a fork instead of computed
  std::int32_t n_preemptions = 0;
};

struct TokenEvent {
  RequestId request{};
  bool of_prompt = false;     ///< true for the score of a prompt token, false for a generated token
  std::int32_t index = 0;     ///< counts the generated (or prompt) tokens of the request
  std::int32_t position = 0;  ///< position of the token in the sequence
  std::int32_t id = -1;       ///< -1 means no token, only the end of a request with max_new_tokens = 0
  float logprob = 0.0F;       ///< natural log, of the unmodified distribution
  std::vector<TokenLogprob> top{};
  std::vector<float> logits{};  ///< [vocab_size] of the distribution that chose this token
  std::int64_t time_ns = 0;     ///< when the step that computed it was complete
  FinishReason finish = FinishReason::kNone;
  RequestTimes times{};  ///< as of this event
};

}  // namespace secondsource
