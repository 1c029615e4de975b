#include "gpu/host/process_memory.h"

#include <utility>

namespace secondsource::gpu {
namespace {

constexpr const char* kOfProcess = "process_device_memory_bytes";
constexpr const char* kOfDevice = "device_memory_used_bytes";

}  // namespace

ProcessMemory::ProcessMemory(ReadSensors sensors) : sensors_(std::move(sensors)), sensed_before_(sensor(kOfDevice)) {}

void ProcessMemory::made_context(ReadUsed used) {
  used_ = std::move(used);
  used_before_ = used_();
  if (sensor(kOfProcess)) {
    source_ = "the driver's list of processes";
  } else if (sensed_before_) {
    source_ = "the device's used memory, less what was used before";
  } else if (used_before_) {
    source_ = "the runtime's used memory, less what was used with the context";
  }
}

std::optional<std::int64_t> ProcessMemory::bytes() const {
  if (const auto listed = sensor(kOfProcess)) return listed;
  if (const auto now = sensor(kOfDevice); now && sensed_before_) return *now - *sensed_before_;
  if (!used_before_) return std::nullopt;
  if (const auto now = used_()) return *now - *used_before_;
  return std::nullopt;
}

std::optional<std::int64_t> ProcessMemory::sensor(const char* name) const {
  for (const TelemetryReading& reading : sensors_()) {
    if (reading.name == name && reading.value) return static_cast<std::int64_t>(*reading.value);
  }
  return std::nullopt;
}

}  // namespace secondsource::gpu
