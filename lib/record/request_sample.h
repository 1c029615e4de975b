#pragma once
// The record of one request of a measurement, with the metrics that follow from its times.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/enum_names.h"
#include "core/fields.h"
#include "record/schema_text.h"

namespace secondsource {

/// The parts of the time to the first token. A part that a system cannot measure separately is empty.
struct TtftParts {
  std::optional<std::int64_t> queue_ns;
  std::optional<std::int64_t> tokenize_ns;
  std::optional<std::int64_t> transfer_ns;
  std::optional<std::int64_t> prefill_ns;
  std::optional<std::int64_t> sample_ns;
};
SS_FIELDS(TtftParts, queue_ns, tokenize_ns, transfer_ns, prefill_ns, sample_ns)

/// How a request ended.
enum class RequestFinish : std::uint8_t {
  kLength,
  kEos,
  kError,
  kCancelled,  ///< by the client, after as many tokens as the scenario says
};
SS_ENUM_NAMES(RequestFinish, "length", "eos", "error", "cancelled")
SS_SCHEMA_SAYS_STRING(RequestFinish)

/// One request: the line `"type": "sample"`.
struct RequestSample {
  std::string cell;  ///< CellKey::id()
  std::int32_t repetition = 0;
  std::int32_t request = 0;
  bool warmup = false;
  std::string prompt;  ///< id of the golden prompt, or "random-SEED-REPETITION-LENGTH"
  std::int32_t n_prompt_tokens = 0;
  std::int32_t n_output_tokens = 0;  ///< tokens that arrived
  std::int64_t scheduled_ns = 0;     ///< scheduled arrival; in a closed loop equal to sent_ns
  std::int64_t sent_ns = 0;
  std::optional<std::int64_t> first_token_ns;
  std::optional<std::int64_t> first_visible_ns;  ///< when the first non-empty text was available
  std::optional<std::int64_t> last_token_ns;
  std::optional<std::int64_t> ttft_kernel_ns;  ///< a duration: from ids to logits, with the device synchronised
  std::vector<std::int64_t> itl_ns;            ///< every gap between consecutive tokens: n_output_tokens - 1 of them
  /// When the load generator received the first and the last token, by its own clock. The system's stamps above are
  /// checked against these times.
  std::optional<std::int64_t> first_received_ns;
  std::optional<std::int64_t> last_received_ns;
  std::optional<std::int32_t> engine_tokens;  ///< output tokens by the system's own count
  /// Prompt tokens that were not computed because their cache was shared; empty if the system does not count them.
  std::optional<std::int32_t> n_cached_prompt_tokens;
  TtftParts parts;
  std::optional<std::int32_t> verified_tokens;  ///< leading tokens equal to the expected ids (up to the first near tie)
  std::optional<std::int32_t> near_tie_at;
  std::optional<std::int32_t> wrong_at;
  RequestFinish finish = RequestFinish::kLength;
  std::string error;  ///< empty unless finish is kError
  /// Time that this request spent on opening a connection (DNS, TCP, TLS), at most the time that one took before there was any load;
  /// empty if it used an open one. No time to the first token includes it.
  std::optional<std::int64_t> connect_ns;
  std::string model{};  ///< the bundle whose model was asked, where the cell has several; empty elsewhere
  std::optional<std::int32_t> asked_tokens{};  ///< of a cancelled request: the output tokens that it had asked for
  std::optional<std::int32_t> turn{};          ///< of a conversation: which of its turns this is, from 1
  /// Of n_output_tokens those that nothing showed: the system did not count its tokens, and the answer ended by its
  /// length after fewer events.
  std::optional<std::int32_t> assumed_tokens{};
  /// Tokens of the answer's text by the bundle's tokenizer, where neither the system nor one event for each token shows
  /// their number.
  std::optional<std::int32_t> text_tokens{};
  /// What opening the connection took beyond `connect_ns`: a server that is slow to accept connections makes requests wait in
  /// its queue, so the times to the first token include it.
  std::optional<std::int64_t> connect_wait_ns{};

  /// From the scheduled arrival to the first token, without `connect_ns`. The gate uses this one.
  [[nodiscard]] std::optional<std::int64_t> ttft_e2e_ns() const;
  /// From sending to the first token, without the time for which the request waited in the load generator.
  [[nodiscard]] std::optional<std::int64_t> ttft_sent_ns() const;
  [[nodiscard]] std::optional<std::int64_t> ttft_visible_ns() const;
  /// From the scheduled arrival to the last token, without `connect_ns`; empty for a request that was cancelled.
  [[nodiscard]] std::optional<std::int64_t> e2e_ns() const;
  /// (last - first token) / (n_output_tokens - 1); empty for fewer than two tokens.
  [[nodiscard]] std::optional<double> tpot_ns() const;
};
SS_FIELDS(RequestSample, cell, repetition, request, warmup, prompt, n_prompt_tokens, n_output_tokens, scheduled_ns,
          sent_ns, first_token_ns, first_visible_ns, last_token_ns, ttft_kernel_ns, itl_ns, first_received_ns,
          last_received_ns, engine_tokens, n_cached_prompt_tokens, parts, verified_tokens, near_tie_at, wrong_at,
          finish, error, connect_ns, model, asked_tokens, turn, assumed_tokens, text_tokens, connect_wait_ns)
SS_ADDED_FIELDS(RequestSample, connect_ns, model, asked_tokens, turn, assumed_tokens, text_tokens, connect_wait_ns)

}  // namespace secondsource
