#pragma once
// The device that the tests use: the first one of the installed drivers, even if it computes on the CPU.

#include <iostream>
#include <memory>

#include "support/result.h"
#include "vulkan/vulkan_device.h"

namespace secondsource::vulkan::test {

/// Opens the device. If there is none, returns null and prints a line that makes CTest count the test as skipped.
inline std::unique_ptr<gpu::Device> opened_device() {
  const auto usable = usable_devices();
  if (!usable) {
    std::cout << "skipped: no Vulkan driver: " << usable.error().message << "\n";
    return nullptr;
  }
  auto device = open_device(usable->front());
  REQUIRE_OK(device);
  return std::move(device).value();
}

}  // namespace secondsource::vulkan::test
