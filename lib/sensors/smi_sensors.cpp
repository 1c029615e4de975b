#include "sensors/smi_sensors.h"

#include <fmt/format.h>

#include <cstdio>

namespace secondsource {

Result<BusPlace> parse_bus_place(const std::string& pci_bus_id) {
  unsigned domain = 0, bus = 0, device = 0, function = 0;
  if (std::sscanf(pci_bus_id.c_str(), "%x:%x:%x.%x", &domain, &bus, &device, &function) != 4) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("PCI bus id: expected DOMAIN:BUS:DEVICE.FUNCTION, found \"{}\"", pci_bus_id)};
  }
  return BusPlace{.domain = domain, .bus = bus & 0xff, .device = device & 0x1f, .function = function & 7};
}

SharedLibrary::DescribeStatus describe_by(const char* function) {
  return [function](const SharedLibrary& library, int status) -> std::string {
    using StatusString = int (*)(int, const char**);
    const auto status_string = reinterpret_cast<StatusString>(library.find(function));
    const char* text = nullptr;
    if (status_string == nullptr || status_string(status, &text) != 0 || text == nullptr) {
      return fmt::format("status {}", status);
    }
    return text;
  };
}

Throttling throttling_of_bits(const Result<std::uint64_t>& bits) {
  // Power limits from bit 0, current limits from 16, temperatures from 32, the rest from 48.
  constexpr std::uint64_t kPower = 0xff, kThermal = 0xffffULL << 32;
  constexpr std::uint64_t kHardware = (0xffULL << 16) | (0xffffULL << 48);
  const auto any_of = [&](std::uint64_t mask) -> Result<double> {
    if (!bits) return bits.error();
    return (*bits & mask) != 0 ? 1.0 : 0.0;
  };
  return {.power = any_of(kPower), .thermal = any_of(kThermal), .hardware = any_of(kHardware)};
}

}  // namespace secondsource
