#pragma once
// One request in progress: its known tokens, and how many of them are in the cache.

#include <cstdint>
#include <vector>

#include "engine/page_allocator.h"
#include "engine/request.h"

namespace secondsource {

struct Sequence {
  Sequence(RequestId sequence_id, Request sequence_request, std::int32_t page_tokens)
      : id(sequence_id), request(std::move(sequence_request)), tokens(request.prompt_ids), pages(page_tokens) {}

  RequestId id;
  Request request;
  std::vector<std::int32_t> tokens;  ///< the prompt, followed by the generated tokens
  PageTable pages;
  std::int64_t n_cached = 0;  ///< leading tokens whose keys and values are in the cache
  /// Prompt rows reported so far; a recomputation after preemption does not report them again.
  std::int64_t n_scored = 0;
  /// True if the sequence may grow beyond ModelConfig::long_rope_after tokens. It then uses the long tables from its
  /// first token, because keys in the cache cannot be rotated again.
  bool long_rope = false;
  std::int32_t slot = -1;  ///< its entry in the device's array of last sampled ids, while it is running
  RequestTimes times;

  [[nodiscard]] std::int64_t n_tokens() const { return static_cast<std::int64_t>(tokens.size()); }
  [[nodiscard]] std::int64_t n_prompt() const { return static_cast<std::int64_t>(request.prompt_ids.size()); }
  [[nodiscard]] std::int64_t n_generated() const { return n_tokens() - n_prompt(); }
  [[nodiscard]] std::int64_t n_pending() const { return n_tokens() - n_cached; }
  /// True if exactly one token has to go through the model and all before it are cached: a decode step. Everything else
  /// is prefill.
  [[nodiscard]] bool is_decoding() const { return n_generated() > 0 && n_pending() == 1; }
};

}  // namespace secondsource
