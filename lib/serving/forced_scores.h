#pragma once
// The probabilities that a server assigns to given ids: requests beyond the OpenAI API, which differ between servers
// (serving/preset.h).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "record/served_system.h"

namespace secondsource {

/// The server's distribution at one position, given the ids before it.
struct ForcedScore {
  std::optional<std::int32_t> best_id;    ///< empty where the server names no alternatives
  std::optional<double> log_probability;  ///< of the given id, in nats; empty where the server does not say
  /// The log-probabilities of the ids that the reference's record has at this position, in its order; empty if they
  /// cannot be requested.
  std::vector<double> top{};
};

/// A request to be posted.
struct NativeCall {
  std::string url;
  std::string body;
};

/// The ids whose scores are wanted, after a prompt.
struct ForcedIds {
  std::span<const std::int32_t> ids;  ///< of the prompt, followed by those to be scored
  std::size_t n_prompt = 0;
  std::string_view text{};  ///< the same as text, for servers that take no ids
};

/// The number of requests that scoring `forced` takes: one, or one for each position.
[[nodiscard]] std::size_t n_score_calls(const ServedSystem& system, const ForcedIds& forced);
[[nodiscard]] NativeCall score_call(const ServedSystem& system, const ForcedIds& forced, std::size_t index);
/// The scores in the response to request `index`, in the order of the positions. Errors: kInvalidInput for a response
/// that does not have them; kUnsupported if the server's ids are not the given ones.
Result<std::vector<ForcedScore>> parse_scores(const ServedSystem& system, std::string_view json,
                                              const ForcedIds& forced, std::size_t index);

/// An answer that was generated greedily.
struct GeneratedAnswer {
  std::vector<std::int32_t> ids;  ///< empty where the server gives none
  std::string text;
  bool ended = false;                           ///< by the end of text, whose id may or may not be among the ids
  std::optional<std::int32_t> n_prompt_tokens;  ///< by the server's own count
};

struct ServedPrompt;
/// A request, not streamed, for at most `n_tokens` tokens, through the server's interface that returns ids if it has
/// one.
[[nodiscard]] NativeCall generate_call(const ServedSystem& system, const ServedPrompt& prompt, std::int32_t n_tokens);
/// Errors: kInvalidInput, kUnavailable.
Result<GeneratedAnswer> parse_generated(const ServedSystem& system, std::string_view json);

}  // namespace secondsource
