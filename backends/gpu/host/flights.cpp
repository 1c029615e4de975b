#include "gpu/host/flights.h"

#include <algorithm>

namespace secondsource::gpu {

Result<void> Flight::read_times(Device& device, StepResult& result) const {
  SS_TRY(result.device_ns, device.elapsed_ns(*begin, *end));
  SS_TRY(const std::int64_t up_ns, device.elapsed_ns(*sent, *begin));
  SS_TRY(const std::int64_t down_ns, device.elapsed_ns(*end, *done));
  result.transfer_ns = up_ns + down_ns;
  Event* before = begin.get();
  for (std::size_t i = 0; i < after_group.size(); ++i) {
    SS_TRY(const std::int64_t ns, device.elapsed_ns(*before, *after_group[i]));
    result.groups.push_back({static_cast<std::int32_t>(i), ns});
    before = after_group[i].get();
  }
  return {};
}

Result<void> Flights::create(Device& device, std::size_t result_bytes, std::size_t n_timed_groups) {
  for (Flight& flight : flights_) {
    SS_TRY(flight.results, DeviceBuffer::allocate_pinned(device, result_bytes));
    for (auto* const event : {&flight.sent, &flight.begin, &flight.end, &flight.done}) {
      SS_TRY(*event, device.create_event());
    }
    for (std::size_t i = 0; i < n_timed_groups; ++i) {
      SS_TRY(auto event, device.create_event());
      flight.after_group.push_back(std::move(event));
    }
  }
  return {};
}

Flights::Free Flights::find_free() {
  const auto free = std::ranges::find_if(flights_, [](const Flight& flight) { return !flight.busy; });
  if (free == flights_.end()) return {};
  return {&*free, static_cast<int>(free - flights_.begin())};
}

Flight* Flights::find(Ticket ticket) {
  const auto found =
      std::ranges::find_if(flights_, [&](const Flight& flight) { return flight.busy && flight.ticket == ticket; });
  return found == flights_.end() ? nullptr : &*found;
}

bool Flights::has(Ticket ticket) const {
  return std::ranges::any_of(flights_, [&](const Flight& flight) { return flight.busy && flight.ticket == ticket; });
}

bool Flights::any_busy() const {
  return std::ranges::any_of(flights_, [](const Flight& flight) { return flight.busy; });
}

}  // namespace secondsource::gpu
