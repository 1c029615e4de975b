#pragma once
// What is measured, seen from outside: requests in, token events out. The engine over a backend is one, a server behind
// HTTP another, the null system a third, which prices the harness itself. Nothing here knows of models or devices.
//
//   SS_TRY_VOID(system.submit(request));
//   while (open) { events.clear(); SS_TRY_VOID(system.poll(now_ns() + kSliceNs, events)); ... }
//
// A system stamps its own events, at the moment when the token is known on the host (core/clock.h).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "report/records.h"

namespace secondsource {

/// One request as the load generator hands it over.
struct TimedRequest {
  std::int64_t tag = 0;  ///< names it in the events; chosen by the caller, distinct among the requests in flight
  /// The prompt as text: pieces that are tokenized apart, their ids joined; special tokens are recognised.
  std::vector<std::string> texts;
  /// Then token ids as they are, with or without texts before them.
  std::vector<std::int32_t> ids;
  /// Leading ids that requests of this load have in common; a system may share what it computed for them.
  std::int32_t n_shared_prefix = 0;
  std::int32_t n_output_tokens = 0;  ///< exactly so many; the end of text is ignored
  std::uint64_t seed = 0;
};

/// One generated token. Tokens that come out of one step have the same time, the one at which the step was complete.
struct SystemToken {
  std::int64_t tag = 0;
  std::int32_t id = -1;
  std::int64_t at_ns = 0;       ///< its id is known on the host
  std::int64_t visible_ns = 0;  ///< the text that it completes is there; 0: it completed none (half a character)
};

/// How a request ended.
struct RequestEnd {
  std::int64_t tag = 0;
  std::int32_t n_prompt_tokens = 0;
  std::int32_t n_cached_prompt_tokens = 0;        ///< of them, not computed: another request's cache was shared
  std::optional<std::int32_t> n_output_tokens{};  ///< by the system's own count
  TtftParts parts{};
  /// Beginning of its first step -> logits of its last prompt token ready, device synchronised.
  std::optional<std::int64_t> ttft_kernel_ns{};
  std::string error{};  ///< empty: all its tokens came
};

/// What poll() appends to. Reused, so that a timed region allocates nothing once it has grown.
struct SystemEvents {
  std::vector<SystemToken> tokens;
  std::vector<RequestEnd> ends;
  void clear() {
    tokens.clear();
    ends.clear();
  }
};

/// What the system did so far, in steps of its device: counters that only grow.
struct StepTotals {
  StepWork prefill;  ///< steps that held prompt tokens only
  StepWork decode;   ///< steps that held none
  StepWork mixed;
  std::int64_t host_ns = 0;     ///< between steps, with work to do: scheduling, batches, results, detokenizing
  std::int64_t n_compiled = 0;  ///< steps that were compiled while they were wanted
};

class SystemUnderTest {
 public:
  virtual ~SystemUnderTest() = default;
  /// "engine over cpu", "null": for records and messages.
  [[nodiscard]] virtual std::string name() const = 0;
  /// At most so many requests may be in flight; submit() beyond it queues inside the system.
  [[nodiscard]] virtual std::int32_t max_in_flight() const = 0;
  /// Takes the request, tokenizing included, and returns; work happens in poll() or behind it.
  /// Errors: kInvalidInput for a request that can never run (too long); the system stays usable then.
  virtual Result<void> submit(const TimedRequest& request) = 0;
  /// Works until something happened or `until_ns` is reached (0: one step at most, no waiting); appends what happened.
  /// Errors: the system is lost (kDeviceLost, kDeadline, kOutOfMemory); it ends no request by itself then.
  virtual Result<void> poll(std::int64_t until_ns, SystemEvents& events) = 0;
  /// Gives up all requests in flight, without an event. Errors: the system is lost.
  virtual Result<void> abandon() = 0;
  [[nodiscard]] virtual MemoryUse memory() const = 0;
  /// All zero for a system that cannot tell.
  [[nodiscard]] virtual StepTotals step_totals() const = 0;
};

}  // namespace secondsource
