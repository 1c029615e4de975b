#include "measure/stop_rule.h"

#include <fmt/format.h>

#include "core/counted.h"

namespace secondsource {

void StopWatch::on_end(const ObservedRequest& request) {
  ++n_ended_;
  if (request.has_failed()) ++n_failed_;
  if (rule_.is_miss && rule_.is_miss(request)) ++n_misses_;
}

std::optional<LoadStop> StopWatch::verdict(std::int64_t n_waiting) const {
  const double failed = static_cast<double>(n_failed_);
  if (n_ended_ >= StopRule::kFewestEnded && failed > rule_.max_error_rate * static_cast<double>(n_ended_)) {
    return LoadStop{ProbeVerdict::kErrors, fmt::format("{} of {} requests failed", n_failed_, n_ended_)};
  }
  if (rule_.max_waiting > 0 && n_waiting > rule_.max_waiting) {
    return LoadStop{ProbeVerdict::kSaturated,
                    counted(n_waiting, "request waits for its first token", "requests wait for their first token")};
  }
  if (n_misses_ > rule_.max_misses) {
    return LoadStop{ProbeVerdict::kNotKept,
                    fmt::format("{} of {} requests missed the SLO already", n_misses_, n_ended_)};
  }
  return std::nullopt;
}

}  // namespace secondsource
