#pragma once
// Collects the times of requests as their tokens arrive. The stored record of a request is RequestSample
// (record/request_sample.h), whose functions are the metrics; docs/metrics.md defines them, with a worked example that
// tests/unit/measure recomputes.

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "measure/system_under_test.h"
#include "record/records.h"

namespace secondsource {

/// Everything that was observed of one request; times on the monotonic clock.
struct ObservedRequest {
  std::int64_t tag = 0;
  std::int64_t scheduled_ns = 0;  ///< open loop: its arrival; closed loop: equal to sent_ns
  std::int64_t sent_ns = 0;       ///< when submit() was called
  std::vector<std::int32_t> token_ids;
  std::vector<std::int64_t> token_ns;  ///< [token_ids.size()]
  std::optional<std::int64_t> first_visible_ns;
  /// When the load generator received the first token, by its own clock reading.
  std::optional<std::int64_t> first_received_ns;
  std::optional<std::int64_t> last_received_ns;
  std::optional<RequestEnd> end;  ///< as the system reported it; nullopt while the request is in flight

  [[nodiscard]] bool has_failed() const noexcept { return end && !end->error.empty(); }
};

/// The record of a request, with times counted from `origin_ns`. The caller fills in cell, repetition, prompt and
/// verdict.
[[nodiscard]] RequestSample to_sample(const ObservedRequest& times, std::int64_t origin_ns);

/// Collects the events of requests as they arrive. Allocates memory in begin(), never while tokens arrive.
class RequestTimer {
 public:
  /// Makes room for so many requests, so that none of them is moved while others run.
  void reserve(std::size_t n_requests);
  /// Registers a request with `n_output_tokens` output tokens that is about to be submitted.
  void begin(std::int64_t tag, std::int64_t scheduled_ns, std::int64_t sent_ns, std::int32_t n_output_tokens);
  /// `received_ns` is the time at which the load generator received the token.
  void on_token(const SystemToken& event, std::int64_t received_ns);
  const ObservedRequest& on_end(const RequestEnd& end);
  [[nodiscard]] std::size_t n_begun() const noexcept { return times_.size(); }
  [[nodiscard]] std::size_t n_ended() const noexcept { return n_ended_; }
  /// The number of requests that have begun, have not ended, and have no token yet.
  [[nodiscard]] std::int64_t n_waiting() const noexcept { return n_waiting_; }
  /// Returns all requests, in the order of begin().
  [[nodiscard]] std::vector<ObservedRequest> take();

 private:
  ObservedRequest& find(std::int64_t tag);
  std::vector<ObservedRequest> times_;
  std::unordered_map<std::int64_t, std::size_t> places_;  ///< in times_, by tag
  std::size_t n_ended_ = 0;
  std::int64_t n_waiting_ = 0;
  std::size_t last_found_ = 0;
};

}  // namespace secondsource
