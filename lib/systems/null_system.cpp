#include "systems/null_system.h"

#include <algorithm>

#include "core/clock.h"
#include "systems/wait_until.h"

namespace secondsource {
Result<void> NullSystem::submit(const TimedRequest& request) {
  waiting_.push_back({.tag = request.tag, .n_output_tokens = request.n_output_tokens});
  admit(now_ns());
  return {};
}

Result<void> NullSystem::poll(std::int64_t until_ns, SystemEvents& events) {
  wait_until(std::min(until_ns, next_event_ns()));
  const std::int64_t now = now_ns();
  for (Running& request : running_) {
    if (request.next_event_ns > now) continue;
    if (request.n_done < request.n_output_tokens) {
      // Stamps the token with the scheduled time instead of the current time, so that the measurement must reproduce the
      // schedule exactly.
      const std::int64_t at_ns =
          schedule_.token_gap_ns == 0 && schedule_.first_token_ns == 0 ? now : request.next_event_ns;
      events.tokens.push_back({.tag = request.tag, .id = request.n_done, .at_ns = at_ns, .visible_ns = at_ns});
      const bool was_last = ++request.n_done == request.n_output_tokens;
      request.next_event_ns = at_ns + (was_last ? schedule_.end_delay_ns : schedule_.token_gap_ns);
    }
    if (has_ended(request, now)) events.ends.push_back({.tag = request.tag, .n_output_tokens = request.n_done});
  }
  std::erase_if(running_, [now](const Running& request) { return has_ended(request, now); });
  admit(now);
  return {};
}

Result<std::optional<RequestEnd>> NullSystem::cancel(std::int64_t tag) {
  const auto is_it = [tag](const Running& request) { return request.tag == tag; };
  const std::size_t n_gone = std::erase_if(waiting_, is_it) + std::erase_if(running_, is_it);
  if (n_gone == 0) return std::optional<RequestEnd>();
  admit(now_ns());
  return std::optional(RequestEnd{.tag = tag, .finish = RequestFinish::kCancelled});
}

bool NullSystem::has_ended(const Running& request, std::int64_t now) {
  return request.n_done == request.n_output_tokens && request.next_event_ns <= now;
}

Result<void> NullSystem::abandon() {
  waiting_.clear();
  running_.clear();
  return {};
}

void NullSystem::admit(std::int64_t now) {
  while (!waiting_.empty() && running_.size() < static_cast<std::size_t>(schedule_.max_in_flight)) {
    running_.push_back(waiting_.front());
    running_.back().next_event_ns = now + schedule_.first_token_ns;
    waiting_.pop_front();
  }
}

std::int64_t NullSystem::next_event_ns() const {
  std::int64_t next = INT64_MAX;
  for (const Running& request : running_) next = std::min(next, request.next_event_ns);
  return next;
}

}  // namespace secondsource
