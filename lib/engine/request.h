#pragma once
// What goes into the engine and what comes out of it.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "backend/batch.h"

namespace secondsource {

/// Names one request of one Engine; ascending in the order of submission, never reused.
enum class RequestId : std::int64_t {};

/// How free generation chooses tokens: greedy at temperature 0, else by (seed, position) alone (backend/sampling.h).
struct SamplingOptions {
  float temperature = 0.0F;
  std::int32_t top_k = 0;  ///< 0: all
  float top_p = 1.0F;
  std::uint64_t seed = 0;
};

struct Request {
  std::vector<std::int32_t> prompt_ids{};  ///< at least one
  std::int32_t max_new_tokens = 0;         ///< 0: the prompt is only computed (a document to fork, or scores)
  SamplingOptions sampling{};
  /// Forced decode: the i-th generated token is forced_ids[i] whatever the model says, and its log-probability is
  /// reported beside the model's own best. Ends after the last one.
  std::vector<std::int32_t> forced_ids{};
  std::vector<std::int32_t> stop_ids{};  ///< any of these ends the generation (and is reported)
  /// Stop ids do not end the generation; the first of them is never sampled (timed runs have a fixed length).
  bool ignore_stop_ids = false;
  bool want_logits = false;  ///< TokenEvent::logits is filled
  bool want_top = false;     ///< TokenEvent::top is filled with EngineOptions::n_top entries
  bool score_prompt =
      false;  ///< also an event for every prompt token but the first: its log-probability, given those before
  /// Keeps the cache pages after the end, for forks, until release() or until the space is needed.
  bool hold = false;
  /// Shares the cache of this request's tokens as far as its prompt and generated ids begin alike.
  std::optional<RequestId> fork_of{};
  std::int64_t max_forked_tokens = INT64_MAX;  ///< and no further than this
};

enum class FinishReason : std::uint8_t {
  kNone,       ///< more tokens follow
  kStop,       ///< a stop id
  kLength,     ///< max_new_tokens, or the end of forced_ids
  kContext,    ///< no position or cache page left for another token
  kNonFinite,  ///< a NaN or an infinity among the logits: the request failed, the device did not
};

/// "none", "stop", "length", "context", "non-finite": as written to journals and reports.
[[nodiscard]] std::string_view to_string(FinishReason reason);

/// When a request passed the stations before its first token; on the monotonic clock.
struct RequestTimes {
  std::int64_t submitted_ns = 0;
  std::int64_t scheduled_ns = 0;  ///< its first token entered a step
  std::int64_t prefilled_ns = 0;  ///< the step with its last prompt token was submitted
  /// Copies between host and device in the steps up to its first token; empty where there are none to tell of.
  std::optional<std::int64_t> transfer_ns = {};
  std::int32_t n_shared_tokens = 0;  ///< prompt tokens that a fork did not compute
  std::int32_t n_preemptions = 0;
};

struct TokenEvent {
  RequestId request{};
  bool of_prompt = false;     ///< a score of a prompt token, not a generated one
  std::int32_t index = 0;     ///< which generated (or prompt) token of the request
  std::int32_t position = 0;  ///< of the token in the sequence
  std::int32_t id = -1;       ///< -1: no token, only the end of a request with max_new_tokens = 0
  float logprob = 0.0F;       ///< natural log, of the unmodified distribution
  std::vector<TokenLogprob> top{};
  std::vector<float> logits{};  ///< [vocab_size] of the distribution that chose this token
  std::int64_t time_ns = 0;     ///< the step that made it was complete
  FinishReason finish = FinishReason::kNone;
  RequestTimes times{};  ///< as of this event
};

}  // namespace secondsource
