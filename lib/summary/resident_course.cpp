#include "summary/resident_course.h"

#include <algorithm>
#include <map>

namespace secondsource {
namespace {

constexpr double kMsPerNsOfCourse = 1e-6;

}  // namespace

ResidentCourse resident_course(const SwapRecord& swap, std::span<const RequestSample* const> samples) {
  ResidentCourse course;
  if (samples.empty()) return course;
  const std::int64_t origin_ns = (*std::ranges::min_element(samples, {}, &RequestSample::sent_ns))->sent_ns;
  const auto ms_of = [origin_ns](std::int64_t ns) { return static_cast<double>(ns - origin_ns) * kMsPerNsOfCourse; };
  std::map<std::int32_t, std::int64_t> at_ns;  // by request: when its next event begins
  for (const RequestSample* sample : samples) {
    at_ns[sample->request] = sample->sent_ns;
    course.end_ms = std::max(course.end_ms, ms_of(sample->last_token_ns.value_or(sample->sent_ns)));
  }
  for (const SwappedModel& model : swap.models) course.models.push_back(model.model);
  std::map<std::string, std::size_t> open;  // the stay of each model that is resident now
  const auto begin = [&](const std::string& model, ResidentStay stay) {
    const auto found = std::ranges::find(course.models, model);
    if (found == course.models.end()) return;
    stay.model = static_cast<std::size_t>(found - course.models.begin());
    stay.to_ms = course.end_ms;
    open[model] = course.stays.size();
    course.stays.push_back(stay);
  };
  for (const std::string& model : swap.resident_at_start) {
    begin(model, {.resident_bytes = swap.resident_bytes_at_start});
  }
  for (const SwapEvent& event : swap.events) {
    const auto when = at_ns.find(event.request);
    if (when == at_ns.end()) continue;
    const std::int64_t began_ns = when->second;
    when->second += event.duration_ns;
    if (event.action == SwapAction::kLoad) {
      begin(event.model, {.from_ms = ms_of(began_ns),
                          .load_ms = static_cast<double>(event.duration_ns) * kMsPerNsOfCourse,
                          .resident_bytes = event.resident_bytes});
    } else if (const auto stay = open.find(event.model); stay != open.end()) {
      course.stays[stay->second].to_ms = ms_of(when->second);
      open.erase(stay);
    }
  }
  return course;
}

}  // namespace secondsource
