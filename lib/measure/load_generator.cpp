#include "measure/load_generator.h"

#include <algorithm>
#include <map>
#include <optional>

#include "core/check.h"
#include "core/clock.h"

namespace secondsource {
namespace {

// Long enough that polls cost nothing, short enough to react to Ctrl-C.
constexpr std::int64_t kLongestPollNs = 100'000'000;

class Generator {
 public:
  Generator(SystemUnderTest& system, std::span<const TimedRequest> requests, const LoadShape& shape)
      : system_(system), requests_(requests), shape_(shape), watch_(shape.stop) {}

  Result<LoadResult> run(const InterruptFlag& interrupt, ProgressCount& progress) {
    LoadResult result;
    timer_.reserve(requests_.size());
    start_ns_ = now_ns();
    result.start_ns = start_ns_;
    while (n_ended() < requests_.size()) {
      SS_TRY_VOID(interrupt.check());
      SS_TRY_VOID(send_due());
      events_.clear();
      SS_TRY_VOID(system_.poll(next_wake_ns(), events_));
      const std::int64_t received_ns = now_ns();
      for (const SystemToken& event : events_.tokens) timer_.on_token(event, received_ns);
      for (const RequestEnd& end : events_.ends) watch_.on_end(timer_.on_end(end));
      if (!to_cancel_.empty()) SS_TRY_VOID(cancel_due());
      // A system that hangs does not return from poll(), so the count stops.
      progress.fetch_add(1, std::memory_order_relaxed);
      if (!events_.ends.empty() && n_sent_ == requests_.size() && result.full_until_ns == 0) {
        result.full_until_ns = last_token_of_ended_ns();
      }
      result.stopped = watch_.verdict(timer_.n_waiting());
      if (result.stopped) break;
    }
    result.end_ns = now_ns();
    if (result.stopped) SS_TRY_VOID(system_.abandon());
    result.requests = timer_.take();
    result.n_abandoned = static_cast<std::int64_t>(
        std::erase_if(result.requests, [](const ObservedRequest& request) { return !request.end; }));
    return result;
  }

 private:
  [[nodiscard]] bool is_open_loop() const { return !shape_.arrival_offsets_ns.empty(); }
  [[nodiscard]] std::size_t n_ended() const { return timer_.n_ended(); }
  [[nodiscard]] std::size_t n_in_flight() const { return timer_.n_begun() - timer_.n_ended(); }

  /// The time at which the requests of the last poll ended: that of the last token, by the system's own stamps.
  [[nodiscard]] std::int64_t last_token_of_ended_ns() const {
    return events_.tokens.empty() ? now_ns() : events_.tokens.back().at_ns;
  }

  [[nodiscard]] std::int64_t next_wake_ns() const {
    const std::int64_t limit = now_ns() + kLongestPollNs;
    if (!is_open_loop() || n_sent_ == requests_.size()) return limit;
    return std::min(limit, start_ns_ + shape_.arrival_offsets_ns[n_sent_]);
  }

  Result<void> send_due() {
    while (n_sent_ < requests_.size()) {
      const std::int64_t now = now_ns();
      std::int64_t scheduled = now;
      if (is_open_loop()) {
        scheduled = start_ns_ + shape_.arrival_offsets_ns[n_sent_];
        if (scheduled > now) return {};
      } else if (n_in_flight() >= static_cast<std::size_t>(shape_.in_flight)) {
        return {};
      }
      SS_TRY_VOID(send(requests_[n_sent_++], scheduled, now));
    }
    return {};
  }

  /// Cancels the requests that have their last wanted token; those that ended in this poll have ended.
  Result<void> cancel_due() {
    for (const RequestEnd& end : events_.ends) to_cancel_.erase(end.tag);
    for (const SystemToken& event : events_.tokens) {
      const auto left = to_cancel_.find(event.tag);
      if (left != to_cancel_.end()) --left->second;
    }
    for (auto next = to_cancel_.begin(); next != to_cancel_.end();) {
      if (next->second > 0) {
        ++next;
        continue;
      }
      SS_TRY(const std::optional<RequestEnd> end, system_.cancel(next->first));
      next = to_cancel_.erase(next);
      if (!end) continue;
      events_.ends.push_back(*end);
      watch_.on_end(timer_.on_end(*end));
    }
    return {};
  }

  Result<void> send(const TimedRequest& request, std::int64_t scheduled_ns, std::int64_t sent_ns) {
    timer_.begin(request.tag, scheduled_ns, sent_ns, request.n_output_tokens);
    if (request.cancel_after > 0) to_cancel_[request.tag] = request.cancel_after;
    const Result<void> taken = system_.submit(request);
    if (taken) return {};
    if (taken.error().code != ErrorCode::kInvalidInput) return taken.error();
    to_cancel_.erase(request.tag);
    watch_.on_end(timer_.on_end({.tag = request.tag, .error = taken.error().message}));
    return {};
  }

  SystemUnderTest& system_;
  std::span<const TimedRequest> requests_;
  const LoadShape& shape_;
  StopWatch watch_;
  RequestTimer timer_;
  SystemEvents events_;
  std::map<std::int64_t, std::int32_t> to_cancel_;  ///< by tag: the tokens that are still wanted
  std::size_t n_sent_ = 0;
  std::int64_t start_ns_ = 0;
};

}  // namespace

Result<LoadResult> generate_load(SystemUnderTest& system, std::span<const TimedRequest> requests,
                                 const LoadShape& shape, const InterruptFlag& interrupt, ProgressCount& progress) {
  SS_CHECK(shape.arrival_offsets_ns.empty() || shape.arrival_offsets_ns.size() == requests.size(),
           "an open loop has one arrival a request");
  return Generator(system, requests, shape).run(interrupt, progress);
}

}  // namespace secondsource
