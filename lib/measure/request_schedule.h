#pragma once
// Decides when each request of a load is due: by arrivals or by the number of requests in flight, and within a
// conversation by the end of the previous answer and the think time. It reads no clock, so that tests can be exact.

#include <cstdint>
#include <optional>
#include <queue>
#include <span>
#include <utility>
#include <vector>

#include "record/records.h"

namespace secondsource {

/// Determines when the next request is due.
struct LoadPacing {
  /// Closed loop: this many requests are in flight, and the next is sent when one ends.
  std::int32_t in_flight = 1;
  /// Open loop: request i arrives at start + arrival_offsets_ns[i], whatever the system does. Empty for a closed loop.
  std::span<const std::int64_t> arrival_offsets_ns{};
  /// Requests of one conversation: request i is turn i % turns of conversation i / turns. Above 1, `in_flight` and
  /// `arrival_offsets_ns` count conversations.
  std::int32_t turns = 1;
  std::span<const std::int64_t>
      think_ns{};  ///< [requests] before each request, of which first turns use none; empty: none
};

struct DueRequest {
  std::size_t index = 0;
  std::int64_t due_ns = 0;
};

class RequestSchedule {
 public:
  /// `n_requests` are whole conversations; `pacing`'s spans outlive the schedule.
  RequestSchedule(std::size_t n_requests, const LoadPacing& pacing, std::int64_t start_ns);

  /// The request that is due first, if one is due by `now_ns`; it counts as sent. What a closed loop begins is due now.
  [[nodiscard]] std::optional<DueRequest> take_due(std::int64_t now_ns);
  /// Reports that a request has ended at `answered_ns`, with a complete answer or a failure. `index` is needed only for
  /// conversations. Returns true if its place is free now, which in a conversation is the case after the last turn
  /// only.
  bool on_end(std::size_t index, std::int64_t answered_ns);
  /// When the next request is due, as far as that is known; INT64_MAX if it depends on an answer.
  [[nodiscard]] std::int64_t next_due_ns() const;

 private:
  [[nodiscard]] bool is_open_loop() const { return !pacing_.arrival_offsets_ns.empty(); }
  [[nodiscard]] bool any_left_to_begin() const { return n_begun_ < n_conversations_; }
  [[nodiscard]] std::int64_t next_arrival_ns() const;

  using Turn = std::pair<std::int64_t, std::size_t>;  ///< when it is due, and its index

  LoadPacing pacing_;
  std::size_t turns_;
  std::size_t n_conversations_;
  std::int64_t start_ns_;
  std::size_t n_begun_ = 0;  ///< conversations
  std::size_t n_open_ = 0;   ///< of those, the ones that have not ended
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> later_turns_;
};

/// The think time before each request of `scenario`, which has conversations; 0 for first turns. The time of request i
/// depends only on the seed and on i. Exponential times model independent users.
[[nodiscard]] std::vector<std::int64_t> think_times_ns(const Scenario& scenario, std::uint64_t seed);

}  // namespace secondsource
