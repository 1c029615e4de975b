#pragma once
// One request on its way through the engine: what is known of its tokens, and how far the cache has them.

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
  std::vector<std::int32_t> tokens;  ///< the prompt, then what was generated
  PageTable pages;
  std::int64_t n_cached = 0;  ///< leading tokens whose keys and values are in the cache
  std::int64_t n_scored = 0;  ///< prompt rows reported so far; a recomputation after preemption repeats none
  std::int32_t slot = -1;     ///< of the device's last sampled ids, while running
  RequestTimes times;

  [[nodiscard]] std::int64_t n_tokens() const { return static_cast<std::int64_t>(tokens.size()); }
  [[nodiscard]] std::int64_t n_prompt() const { return static_cast<std::int64_t>(request.prompt_ids.size()); }
  [[nodiscard]] std::int64_t n_generated() const { return n_tokens() - n_prompt(); }
  [[nodiscard]] std::int64_t n_pending() const { return n_tokens() - n_cached; }
  /// One token to go through the model, behind a whole cache: a decode step. Everything else is prefill.
  [[nodiscard]] bool is_decoding() const { return n_generated() > 0 && n_pending() == 1; }
};

}  // namespace secondsource
