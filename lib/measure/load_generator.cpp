#include "measure/load_generator.h"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

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
    result.start_ns = now_ns();
    schedule_.emplace(requests_.size(),
                      LoadPacing{.in_flight = shape_.in_flight,
                                 .arrival_offsets_ns = shape_.arrival_offsets_ns,
                                 .turns = shape_.turns,
                                 .think_ns = shape_.think_ns},
                      result.start_ns);
    while (n_ended() < requests_.size()) {
      SS_TRY_VOID(interrupt.check());
      SS_TRY_VOID(send_due());
      events_.clear();
      SS_TRY_VOID(system_.poll(next_wake_ns(), events_));
      const std::int64_t received_ns = now_ns();
      for (const SystemToken& event : events_.tokens) timer_.on_token(event, received_ns);
      for (const RequestEnd& end : events_.ends) note_end(end);
      if (!to_cancel_.empty()) SS_TRY_VOID(cancel_due());
      // A system that hangs does not return from poll(), so the count stops.
      progress.fetch_add(1, std::memory_order_relaxed);
      result.stopped = watch_.verdict(timer_.n_waiting());
      if (result.stopped) break;
    }
    result.end_ns = now_ns();
    result.full_until_ns = full_until();
    if (result.stopped) SS_TRY_VOID(system_.abandon());
    result.requests = timer_.take();
    result.n_abandoned = static_cast<std::int64_t>(
        std::erase_if(result.requests, [](const ObservedRequest& request) { return !request.end; }));
    return result;
  }

 private:
  [[nodiscard]] std::size_t n_ended() const { return timer_.n_ended(); }

  [[nodiscard]] std::int64_t next_wake_ns() const {
    return std::min(now_ns() + kLongestPollNs, schedule_->next_due_ns());
  }

  /// A request ends with its last token, by the system's own stamp and not at the end of the poll, which may also bring
  /// tokens of other requests.
  void note_end(const RequestEnd& end) {
    const ObservedRequest& request = timer_.on_end(end);
    watch_.on_end(request);
    const std::int64_t answered_ns = request.token_ns.empty() ? now_ns() : request.token_ns.back();
    if (schedule_->on_end(static_cast<std::size_t>(end.tag), answered_ns)) freed_ns_.push_back(answered_ns);
  }

  /// The time from which a closed loop is no longer full. If N requests share B places, N-B of them begin when another
  /// one ends, so the place of the (N-B+1)-th request to end stays empty. This also holds if one poll reports several
  /// ends at once.
  [[nodiscard]] std::int64_t full_until() {
    if (!shape_.arrival_offsets_ns.empty()) return 0;
    const std::size_t n_to_begin = requests_.size() / static_cast<std::size_t>(shape_.turns);
    const std::size_t n_taken = n_to_begin - std::min(n_to_begin, static_cast<std::size_t>(shape_.in_flight));
    if (freed_ns_.size() <= n_taken) return 0;
    const auto stays_empty = freed_ns_.begin() + static_cast<std::ptrdiff_t>(n_taken);
    std::ranges::nth_element(freed_ns_, stays_empty);
    return *stays_empty;
  }

  Result<void> send_due() {
    while (true) {
      const std::int64_t now = now_ns();
      const std::optional<DueRequest> due = schedule_->take_due(now);
      if (!due) return {};
      SS_TRY_VOID(send(requests_[due->index], due->due_ns, now));
    }
  }

  /// Cancels the requests whose last wanted token has arrived; requests that ended in this poll need no cancelling.
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
      note_end(*end);
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
    note_end({.tag = request.tag, .error = taken.error().message});
    return {};
  }

  SystemUnderTest& system_;
  std::span<const TimedRequest> requests_;
  const LoadShape& shape_;
  StopWatch watch_;
  RequestTimer timer_;
  SystemEvents events_;
  std::map<std::int64_t, std::int32_t> to_cancel_;  ///< by tag: the tokens that are still wanted
  std::optional<RequestSchedule> schedule_;         ///< once the load has begun
  std::vector<std::int64_t> freed_ns_;              ///< when each place became free
};

}  // namespace

Result<LoadResult> generate_load(SystemUnderTest& system, std::span<const TimedRequest> requests,
                                 const LoadShape& shape, const InterruptFlag& interrupt, ProgressCount& progress) {
  return Generator(system, requests, shape).run(interrupt, progress);
}

}  // namespace secondsource
