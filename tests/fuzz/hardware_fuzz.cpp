// Fuzzes files of devices. In an accepted file every device has a source and no rate that is zero or negative, and is found by its id. A
// refusal is one line.

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "fit/hardware.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto devices = parse_hardware_file({reinterpret_cast<const char*>(data), size}, "hardware.yaml");
  if (!devices) {
    if (devices.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  for (const Hardware& device : *devices) {
    if (device.sources.empty()) std::abort();
    for (const std::optional<double>& rate :
         {device.memory_bytes, device.bytes_per_s, device.tdp_w, device.peaks.bf16, device.peaks.fp16, device.peaks.fp8,
          device.peaks.int8, device.peaks.fp4, device.peaks.mxfp4}) {
      if (rate && !(*rate > 0.0)) std::abort();
    }
    const auto found = find_hardware(device.id, *devices);
    if (!found || found->name != device.name) std::abort();
  }
  const auto absent = find_hardware("not one of them", *devices);
  if (!absent && absent.error().message.find('\n') != std::string::npos) std::abort();
  return 0;
}
