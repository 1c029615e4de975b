#pragma once
// The interface of a measured system: it takes requests and returns token events. Examples are the engine on a backend,
// a server behind HTTP, and the null system, which measures the cost of the harness itself. The interface is
// independent of models and devices.
//
//   SS_TRY_VOID(system.submit(request));
//   while (open) { events.clear(); SS_TRY_VOID(system.poll(now_ns() + kSliceNs, events)); ... }
//
// A system stamps its own events with the time at which the token is known on the host (core/clock.h).

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "record/records.h"

namespace secondsource {

struct EncodedPrompt;

/// One request as the load generator submits it.
struct TimedRequest {
  /// Identifies the request in events; chosen by the caller, distinct among the requests in flight.
  std::int64_t tag = 0;
  /// The prompt as text, in pieces that are tokenized separately and whose ids are joined; special tokens are
  /// recognised.
  std::vector<std::string> texts;
  /// Token ids that follow the texts unchanged; both parts are optional.
  std::vector<std::int32_t> ids;
  /// For a turn of a conversation: the offsets in `ids` at which its parts end. The parts are alternately a question
  /// and its answer, and the last one is a question. Empty otherwise.
  std::vector<std::int32_t> part_ends{};
  /// Number of leading ids that the requests of this load have in common; a system may share what it computed for them.
  std::int32_t n_shared_prefix = 0;
  std::int32_t n_output_tokens = 0;  ///< exact number of output tokens; the end of text is ignored
  std::uint64_t seed = 0;
  std::int32_t cancel_after = 0;  ///< the client cancels it once so many output tokens are there; 0: it does not
  std::int32_t model =
      0;  ///< index of the model that is to answer, for systems that have several (measure/model_pool.h)
  /// The golden prompt from which texts and ids were made, for systems that need it in another form; it outlives the
  /// request. Null for random ids.
  const EncodedPrompt* prompt = nullptr;
};

/// One generated token. All tokens of one step have the same time, that of the step's completion.
struct SystemToken {
  std::int64_t tag = 0;
  std::int32_t id = -1;    ///< negative if the system does not tell it
  std::int64_t at_ns = 0;  ///< when its id was known on the host
  /// When the text that it completes was available; 0 if it completed none (half a character).
  std::int64_t visible_ns = 0;
};

/// The end of a request and its counts.
struct RequestEnd {
  std::int64_t tag = 0;
  std::int32_t n_prompt_tokens = 0;
  /// Prompt tokens that were not computed because the cache of another request was shared; nullopt if the system does
  /// not count them.
  std::optional<std::int32_t> n_cached_prompt_tokens{};
  std::optional<std::int32_t> n_output_tokens{};  ///< output tokens by the system's own count
  /// As in RequestSample: of the tokens that the system appended, those that nothing showed.
  std::int32_t n_assumed_tokens = 0;
  /// Counts the tokens in the text of an answer whose number of tokens nothing else shows; nullopt if it cannot, and empty
  /// if the number is known. It takes time, so it is called outside timed regions.
  std::function<std::optional<std::int32_t>()> count_text_tokens{};
  TtftParts parts{};
  /// Time from the beginning of its first step until the logits of its last prompt token are ready, with the device
  /// synchronised.
  std::optional<std::int64_t> ttft_kernel_ns{};
  std::string error{};  ///< empty if all its tokens arrived
  /// How the request ended, if there was no error: kEos if the system stopped before the requested length.
  RequestFinish finish = RequestFinish::kLength;
  std::optional<std::int64_t> connect_ns{};       ///< as in RequestSample
  std::optional<std::int64_t> connect_wait_ns{};  ///< as in RequestSample
};

/// The events that poll() appends. The object is reused, so that a timed region allocates nothing once it has grown.
struct SystemEvents {
  std::vector<SystemToken> tokens;
  std::vector<RequestEnd> ends;
  void clear() {
    tokens.clear();
    ends.clear();
  }
};

/// The work of the system so far, in steps of its device; these counters only grow.
struct StepTotals {
  StepWork prefill;  ///< steps with prompt tokens only
  StepWork decode;   ///< steps without prompt tokens
  StepWork mixed;
  /// Host time between steps while there is work: scheduling, batches, results, detokenizing.
  std::int64_t host_ns = 0;
  std::int64_t n_compiled = 0;  ///< steps that were compiled while requests waited for them
};

class SystemUnderTest {
 public:
  virtual ~SystemUnderTest() = default;
  /// Name for records and messages, such as "engine over cpu" or "null".
  [[nodiscard]] virtual std::string name() const = 0;
  /// The largest number of requests that may be in flight; further requests are queued inside the system.
  [[nodiscard]] virtual std::int32_t max_in_flight() const = 0;
  /// Takes the request, tokenizes it, and returns; the work happens in poll() or in the background. Errors:
  /// kInvalidInput for a request that can never run (too long); the system then stays usable.
  virtual Result<void> submit(const TimedRequest& request) = 0;
  /// Works until an event occurs or `until_ns` is reached (0 means at most one step and no waiting), and appends the
  /// events. Errors: the system is lost (kDeviceLost, kDeadline, kOutOfMemory), and the open requests get no end event.
  virtual Result<void> poll(std::int64_t until_ns, SystemEvents& events) = 0;
  /// Gives up one request and returns its end as far as it is known (RequestFinish::kCancelled); no event of it follows.
  /// nullopt if it is not in flight. Errors: kUnsupported for a system that cannot; the system is lost.
  virtual Result<std::optional<RequestEnd>> cancel(std::int64_t tag);
  /// Abandons all requests in flight, without an event. Errors: the system is lost.
  virtual Result<void> abandon() = 0;
  [[nodiscard]] virtual MemoryUse memory() const = 0;
  /// The counters so far; all zero for a system that does not count its steps.
  [[nodiscard]] virtual StepTotals step_totals() const = 0;
  /// True if the threads of this process compute the answers; false for a client of another process, whose threads sleep
  /// while they wait for it.
  [[nodiscard]] virtual bool computes_here() const { return true; }
  /// What a server's responses showed of its clock since the last call, with times counted from `origin_ns` on the monotonic
  /// clock; nullopt for a system without a clock of its own, and where no response told the time.
  [[nodiscard]] virtual std::optional<ServerClock> take_server_clock(std::int64_t origin_ns);
};

}  // namespace secondsource
