#pragma once
// The common part of ROCm SMI and AMD SMI. AMD SMI grew out of ROCm SMI: most of its functions have other names and the
// same parameters, except for the type that identifies a GPU.

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "backend_kit/device_sensors.h"
#include "core/shared_library.h"

namespace secondsource {

/// A GPU's place on the PCI bus.
struct BusPlace {
  std::uint64_t domain, bus, device, function;
};
/// Parses "0000:c1:00.0", as hipDeviceGetPCIBusId writes it. Errors: kUnavailable for any other text.
[[nodiscard]] Result<BusPlace> parse_bus_place(const std::string& pci_bus_id);

/// The library's text for a status. `function`: int(int status, const char** text).
[[nodiscard]] SharedLibrary::DescribeStatus describe_by(const char* function);

/// Fractions of time, 0 to 1, during which the clock was throttled, by reason.
struct Throttling {
  Result<double> power, thermal, hardware;
};
/// From the driver's bits, which are the same for all chips (SMU_THROTTLER_* of amdgpu_smu.h).
[[nodiscard]] Throttling throttling_of_bits(const Result<std::uint64_t>& bits);

/// rsmi_error_count_t, amdsmi_error_count_t.
struct ErrorCount {
  std::uint64_t corrected, uncorrected;
  std::array<std::uint64_t, 6> later;  // ROCm 6.0 added a field
};

template <typename Device>
struct SmiFunctions {
  CFunction<Device, int, std::uint64_t*> memory_used;  // bytes
  CFunction<Device, std::uint64_t*, float*, std::uint64_t*> energy;
  CFunction<Device, std::uint32_t, int, std::int64_t*> temperature;
  CFunction<Device, std::uint64_t*> ecc_blocks;
  CFunction<Device, std::uint64_t, ErrorCount*> ecc_count;
  CFunction<Device, char*, std::uint32_t> compute_partition, memory_partition;
};

template <typename Device>
class SmiSensors : public DeviceSensors {
 public:
  std::vector<TelemetryReading> read() final {
    constexpr int kVram = 0, kNow = 0;
    constexpr std::uint32_t kJunction = 1;  // the hottest of many sensors on the die
    const Changing now = changing();
    const auto errors = library_.get<ErrorCount>(functions_.ecc_count, device_, kMemoryBlock);
    const auto error_count = [&](std::uint64_t ErrorCount::*kind) -> Result<double> {
      if (!errors) return errors.error();
      return static_cast<double>((*errors).*kind);
    };
    const Result<double> no_bandwidth =
        Error{ErrorCode::kUnavailable, "AMD's libraries have no counter of the memory's bytes"};
    return {
        device_reading("device_utilisation", now.busy_percent, 0.01),
        device_reading("device_memory_busy", now.memory_busy_percent, 0.01),
        device_reading("device_memory_bandwidth_utilisation", no_bandwidth),
        device_reading("device_memory_used_bytes", library_.get<std::uint64_t>(functions_.memory_used, device_, kVram)),
        device_reading("process_device_memory_bytes", now.process_bytes),
        device_reading("device_power_w", now.power_w),
        device_reading("device_energy_j_max", energy_uj(), 1e-6),
        device_reading("device_clock_hz", now.clock_hz),
        device_reading("device_memory_clock_hz", now.memory_clock_hz),
        device_reading("device_temperature_c",
                       library_.get<std::int64_t>(functions_.temperature, device_, kJunction, kNow), degree_),
        device_reading("device_throttled_power", now.throttling.power),
        device_reading("device_throttled_thermal", now.throttling.thermal),
        device_reading("device_throttled_hardware", now.throttling.hardware),
        device_reading("device_ecc_corrected_max", error_count(&ErrorCount::corrected)),
        device_reading("device_ecc_uncorrected_max", error_count(&ErrorCount::uncorrected))};
  }

  [[nodiscard]] std::vector<std::pair<std::string, std::string>> properties() const final {
    std::vector<std::pair<std::string, std::string>> result = libraries();
    result.insert(result.end(),
                  {{"driver", device_property(driver())},
                   {"compute_partition", device_property(library_.get_text(functions_.compute_partition, device_))},
                   {"memory_partition", device_property(library_.get_text(functions_.memory_partition, device_))},
                   {"ecc", device_property(ecc())},
                   {"power_limit", device_property(power_limit())},
                   {"clock_max", device_property(max_clock(kClockSystem))},
                   {"memory_clock_max", device_property(max_clock(kClockMemory))}});
    return result;
  }

 protected:
  // Readings for which the two libraries have different functions and structs.
  struct Changing {
    Result<double> busy_percent, memory_busy_percent, process_bytes, power_w, clock_hz, memory_clock_hz;
    Throttling throttling;
  };

  /// `degree`: degrees Celsius in one unit of the library's temperatures.
  SmiSensors(SharedLibrary library, Device device, const SmiFunctions<Device>& functions, double degree)
      : library_(std::move(library)), device_(device), functions_(functions), degree_(degree) {}

  [[nodiscard]] virtual Changing changing() = 0;
  /// The library's file and version, as properties.
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> libraries() const = 0;
  [[nodiscard]] virtual Result<std::string> driver() const = 0;
  [[nodiscard]] virtual Result<std::uint64_t> power_limit_uw() const = 0;
  [[nodiscard]] virtual Result<double> max_clock_hz(int type) const = 0;

  static constexpr int kClockSystem = 0, kClockMemory = 4;  // of both libraries

  SharedLibrary library_;
  Device device_;

 private:
  static constexpr std::uint64_t kMemoryBlock = 1;  // UMC, the memory controller, where the HBM's errors are counted

  [[nodiscard]] Result<double> energy_uj() const {
    std::uint64_t count = 0, timestamp_ns = 0;
    float uj_per_count = 0;
    SS_TRY_VOID(library_.call(functions_.energy, device_, &count, &uj_per_count, &timestamp_ns));
    return static_cast<double>(count) * static_cast<double>(uj_per_count);
  }

  [[nodiscard]] Result<std::string> ecc() const {
    SS_TRY(const auto blocks, library_.get<std::uint64_t>(functions_.ecc_blocks, device_));
    return std::string((blocks & kMemoryBlock) != 0 ? "on" : "off");
  }

  [[nodiscard]] Result<std::string> power_limit() const {
    SS_TRY(const auto limit_uw, power_limit_uw());
    return std::to_string((limit_uw + 500'000) / 1'000'000) + " W";
  }

  [[nodiscard]] Result<std::string> max_clock(int type) const {
    SS_TRY(const double hz, max_clock_hz(type));
    return std::to_string(static_cast<std::int64_t>(hz / 1e6 + 0.5)) + " MHz";
  }

  const SmiFunctions<Device>& functions_;
  double degree_;
};

}  // namespace secondsource
