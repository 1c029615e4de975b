#pragma once
// The contract between this program and the adapter of a runtime without a server: one JSON object per line, requests on
// the adapter's standard input, answers on its standard output. docs/adapters.md is the published page; what changes
// here changes there, with kAdapterProtocol.
//
//   hello OPTIONS            -> hello WHAT_IT_GIVES | error
//   load MODEL               -> loaded | error
//   generate REQUEST IDS     -> (step TIME TOKENS)* , end REQUEST
//   score REQUEST IDS        -> scores REQUEST | end REQUEST with an error
//   cancel REQUEST           -> end REQUEST, cancelled
//   stop, or the end of the input: the adapter ends

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/enum_names.h"
#include "core/fields.h"
#include "core/result.h"
#include "core/variant_tags.h"
#include "record/adapter_system.h"

namespace secondsource {

inline constexpr int kAdapterProtocol = 1;
/// A longer line ends the adapter. The scores of the longest prompts are far below it.
inline constexpr std::size_t kLongestAdapterLine = std::size_t{8} << 20;

struct AdapterHelloRequest {
  int protocol = kAdapterProtocol;
  std::vector<std::pair<std::string, std::string>> options;  ///< of the runtime, from the plan
};
SS_FIELDS(AdapterHelloRequest, protocol, options)

struct AdapterLoadRequest {
  std::string model;  ///< a folder as Hugging Face writes it
};
SS_FIELDS(AdapterLoadRequest, model)

/// Asks for exactly `n_tokens` greedy tokens after `ids`; the end-of-text token does not end the answer.
struct AdapterGenerateRequest {
  std::int64_t request = 0;
  std::vector<std::int32_t> ids;
  std::int32_t n_tokens = 0;
};
SS_FIELDS(AdapterGenerateRequest, request, ids, n_tokens)

/// Asks for the model's log-probability of each id after the first `n_prompt`, given all ids before it.
struct AdapterScoreRequest {
  std::int64_t request = 0;
  std::vector<std::int32_t> ids;
  std::int32_t n_prompt = 0;
  /// For each of these positions the ids whose log-probabilities are wanted; empty unless the adapter gives `logits`.
  std::vector<std::vector<std::int32_t>> wanted;
};
SS_FIELDS(AdapterScoreRequest, request, ids, n_prompt, wanted)

struct AdapterCancelRequest {
  std::int64_t request = 0;
};
SS_FIELDS(AdapterCancelRequest, request)

struct AdapterStopRequest {};
SS_FIELDS(AdapterStopRequest)

using AdapterRequest = std::variant<AdapterHelloRequest, AdapterLoadRequest, AdapterGenerateRequest,
                                    AdapterScoreRequest, AdapterCancelRequest, AdapterStopRequest>;
SS_VARIANT_TAGS(AdapterRequest, "do", "hello", "load", "generate", "score", "cancel", "stop")

struct AdapterHello {
  int protocol = 0;
  std::string runtime;  ///< "transformers"
  std::vector<std::pair<std::string, std::string>> versions;
  std::vector<std::pair<std::string, std::string>> settings;  ///< that it works with, defaults included
  AdapterTokens tokens = AdapterTokens::kIds;
  AdapterForced forced = AdapterForced::kNone;
  std::int32_t max_in_flight = 1;
};
SS_FIELDS(AdapterHello, protocol, runtime, versions, settings, tokens, forced, max_in_flight)

struct AdapterLoaded {};
SS_FIELDS(AdapterLoaded)

/// One token of an answer, or with `text` as much of the answer as came at once.
struct AdapterToken {
  std::int64_t request = 0;
  std::int32_t index = 0;  ///< in the answer, from 0
  std::int32_t id = -1;
  std::string text{};
};
SS_FIELDS(AdapterToken, request, index, id, text)
SS_ADDED_FIELDS(AdapterToken, id, text)

/// The tokens that became known at one time.
struct AdapterStep {
  std::int64_t at_ns = 0;  ///< CLOCK_MONOTONIC, when they were known on the host
  std::vector<AdapterToken> tokens;
};
SS_FIELDS(AdapterStep, at_ns, tokens)

enum class AdapterFinish : std::uint8_t {
  kLength,
  kStop,  ///< the runtime ends at the end of text, and cannot be told otherwise
  kCancelled,
  kError,
};
SS_ENUM_NAMES(AdapterFinish, "length", "stop", "cancelled", "error")

struct AdapterEnd {
  std::int64_t request = 0;
  AdapterFinish finish = AdapterFinish::kLength;
  std::string message{};  ///< of an error
};
SS_FIELDS(AdapterEnd, request, finish, message)
SS_ADDED_FIELDS(AdapterEnd, message)

/// What the model predicts at one position.
struct AdapterScore {
  std::optional<double> logprob;              ///< of the given id, in nats; null: not a finite number
  std::optional<std::int32_t> best{};         ///< the most probable id, the lowest of equal ones
  std::vector<std::optional<double>> wanted;  ///< of the wanted ids, in their order
};
SS_FIELDS(AdapterScore, logprob, best, wanted)
SS_ADDED_FIELDS(AdapterScore, best, wanted)

struct AdapterScores {
  std::int64_t request = 0;
  std::vector<AdapterScore> scores;
};
SS_FIELDS(AdapterScores, request, scores)

enum class AdapterFailureKind : std::uint8_t {
  kInvalidInput,  ///< an option that it does not know
  kUnavailable,   ///< its runtime is not installed
  kUnsupported,   ///< its runtime cannot run this model
  kOutOfMemory,
  kError,
};
SS_ENUM_NAMES(AdapterFailureKind, "invalid-input", "unavailable", "unsupported", "out-of-memory", "error")

/// Why an adapter cannot go on; it exits after sending this.
struct AdapterFailure {
  AdapterFailureKind kind = AdapterFailureKind::kError;
  std::string message;
};
SS_FIELDS(AdapterFailure, kind, message)

using AdapterAnswer = std::variant<AdapterHello, AdapterLoaded, AdapterStep, AdapterEnd, AdapterScores, AdapterFailure>;
SS_VARIANT_TAGS(AdapterAnswer, "say", "hello", "loaded", "step", "end", "scores", "error")

[[nodiscard]] std::string to_line(const AdapterRequest& request);
/// Checks everything about a line that can be checked without knowing what was asked. Members that are not known are
/// ignored. Errors: kInvalidInput, with a message that begins with "the adapter".
Result<AdapterAnswer> adapter_answer_from_line(std::string_view line);

}  // namespace secondsource
