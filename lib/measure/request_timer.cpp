#include "measure/request_timer.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace secondsource {

RequestSample to_sample(const ObservedRequest& times, std::int64_t origin_ns) {
  RequestSample sample;
  sample.n_output_tokens = static_cast<std::int32_t>(times.token_ids.size());
  sample.scheduled_ns = times.scheduled_ns - origin_ns;
  sample.sent_ns = times.sent_ns - origin_ns;
  if (!times.token_ns.empty()) {
    sample.first_token_ns = times.token_ns.front() - origin_ns;
    sample.last_token_ns = times.token_ns.back() - origin_ns;
    sample.itl_ns.reserve(times.token_ns.size() - 1);
  }
  if (times.first_received_ns) sample.first_received_ns = *times.first_received_ns - origin_ns;
  if (times.last_received_ns) sample.last_received_ns = *times.last_received_ns - origin_ns;
  if (times.first_visible_ns) sample.first_visible_ns = *times.first_visible_ns - origin_ns;
  for (std::size_t index = 1; index < times.token_ns.size(); ++index) {
    sample.itl_ns.push_back(times.token_ns[index] - times.token_ns[index - 1]);
  }
  if (times.end) {
    sample.n_prompt_tokens = times.end->n_prompt_tokens;
    sample.n_cached_prompt_tokens = times.end->n_cached_prompt_tokens;
    sample.engine_tokens = times.end->n_output_tokens;
    if (times.end->n_assumed_tokens > 0) sample.assumed_tokens = times.end->n_assumed_tokens;
    sample.ttft_kernel_ns = times.end->ttft_kernel_ns;
    sample.parts = times.end->parts;
    sample.error = times.end->error;
    sample.finish = times.end->finish;
    sample.connect_ns = times.end->connect_ns;
    sample.connect_wait_ns = times.end->connect_wait_ns;
  }
  if (times.has_failed()) sample.finish = RequestFinish::kError;
  return sample;
}

void RequestTimer::reserve(std::size_t n_requests) {
  times_.reserve(n_requests);
  places_.reserve(n_requests);
}

void RequestTimer::begin(std::int64_t tag, std::int64_t scheduled_ns, std::int64_t sent_ns,
                         std::int32_t n_output_tokens) {
  ObservedRequest times;
  times.tag = tag;
  times.scheduled_ns = scheduled_ns;
  times.sent_ns = sent_ns;
  times.token_ids.reserve(static_cast<std::size_t>(n_output_tokens));
  times.token_ns.reserve(static_cast<std::size_t>(n_output_tokens));
  places_[tag] = times_.size();
  times_.push_back(std::move(times));
  ++n_waiting_;
}

void RequestTimer::on_token(const SystemToken& event, std::int64_t received_ns) {
  ObservedRequest& times = find(event.tag);
  if (!times.first_received_ns) {
    times.first_received_ns = received_ns;
    --n_waiting_;
  }
  times.last_received_ns = received_ns;
  times.token_ids.push_back(event.id);
  times.token_ns.push_back(event.at_ns);
  if (event.visible_ns != 0 && !times.first_visible_ns) times.first_visible_ns = event.visible_ns;
}

const ObservedRequest& RequestTimer::on_end(const RequestEnd& end) {
  ObservedRequest& times = find(end.tag);
  SS_CHECK(!times.end, "a request ends once");
  times.end = end;
  if (!times.first_received_ns) --n_waiting_;
  ++n_ended_;
  return times;
}

std::vector<ObservedRequest> RequestTimer::take() {
  n_ended_ = 0;
  n_waiting_ = 0;
  last_found_ = 0;
  places_.clear();
  return std::exchange(times_, {});
}

ObservedRequest& RequestTimer::find(std::int64_t tag) {
  // The events of a step are in the order of the requests, so the next event nearly always belongs to the same request
  // as the last event or to the following one.
  for (std::size_t index = last_found_; index < std::min(last_found_ + 2, times_.size()); ++index) {
    if (times_[index].tag == tag) {
      last_found_ = index;
      return times_[index];
    }
  }
  const auto found = places_.find(tag);
  SS_CHECK(found != places_.end(), "every event belongs to a request that was sent");
  last_found_ = found->second;
  return times_[last_found_];
}

}  // namespace secondsource
