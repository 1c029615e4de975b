#include "hip/rocm_smi.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>

#include "core/shared_library.h"

namespace secondsource::hip {
namespace {

using Device = std::uint32_t;

struct ProcessInfo {
  std::uint32_t pid, pasid;
  std::uint64_t vram_bytes, sdma_usage;
  std::uint32_t cu_occupancy;
};
struct ErrorCount {
  std::uint64_t corrected, uncorrected;
  std::array<std::uint64_t, 6> later;  // 6.0 added a field
};
/// rsmi_frequencies_t in either layout, with room for the larger one.
using FrequencyBytes = std::array<unsigned char, 512>;

constexpr CFunction<std::uint64_t> kInit{"rsmi_init"};
constexpr CFunction<> kShutDown{"rsmi_shut_down"};
constexpr CFunction<std::uint32_t*> kCount{"rsmi_num_monitor_devices"};
constexpr CFunction<int, char*, std::uint32_t> kVersion{"rsmi_version_str_get"};
constexpr CFunction<Device, std::uint64_t*> kPciId{"rsmi_dev_pci_id_get"};
constexpr CFunction<Device, std::uint32_t*> kBusy{"rsmi_dev_busy_percent_get"};
constexpr CFunction<Device, std::uint32_t*> kMemoryBusy{"rsmi_dev_memory_busy_percent_get"};
constexpr CFunction<Device, int, std::uint64_t*> kMemoryUsed{"rsmi_dev_memory_usage_get"};
constexpr CFunction<std::uint32_t, ProcessInfo*> kProcess{"rsmi_compute_process_info_by_pid_get"};
constexpr CFunction<Device, std::uint64_t*> kSocketPower{"rsmi_dev_current_socket_power_get"};
constexpr CFunction<Device, std::uint32_t, std::uint64_t*> kAveragePower{"rsmi_dev_power_ave_get"};
constexpr CFunction<Device, std::uint32_t, std::uint64_t*> kPowerCap{"rsmi_dev_power_cap_get"};
constexpr CFunction<Device, std::uint64_t*, float*, std::uint64_t*> kEnergy{"rsmi_dev_energy_count_get"};
constexpr CFunction<Device, int, void*> kClock{"rsmi_dev_gpu_clk_freq_get"};
constexpr CFunction<Device, std::uint32_t, int, std::int64_t*> kTemperature{"rsmi_dev_temp_metric_get"};
constexpr CFunction<Device, std::uint64_t*> kThrottle{"rsmi_dev_metrics_indep_throttle_status_get"};
constexpr CFunction<Device, std::uint64_t*> kEccBlocks{"rsmi_dev_ecc_enabled_get"};
constexpr CFunction<Device, std::uint64_t, ErrorCount*> kEccCount{"rsmi_dev_ecc_count_get"};
constexpr CFunction<Device, char*, std::uint32_t> kComputePartition{"rsmi_dev_compute_partition_get"};
constexpr CFunction<Device, char*, std::uint32_t> kMemoryPartition{"rsmi_dev_memory_partition_get"};

constexpr int kDriver = 0, kVram = 0, kClockSystem = 0, kClockMemory = 4, kTemperatureNow = 0;
constexpr std::uint32_t kJunction = 1;     // the hottest of many sensors on the die
constexpr std::uint64_t kMemoryBlock = 1;  // UMC, the memory controller, where the HBM's errors are counted
// The driver's own numbering, the same for every chip (SMU_THROTTLER_* of amdgpu_smu.h): power limits from bit 0,
// current limits from 16, temperatures from 32, the rest from 48.
constexpr std::uint64_t kThrottledPower = 0xff, kThrottledThermal = 0xffffULL << 32;
constexpr std::uint64_t kThrottledHardware = (0xffULL << 16) | (0xffffULL << 48);

std::string describe_status(const SharedLibrary& library, int status) {
  using StatusString = int (*)(int, const char**);
  const auto status_string = reinterpret_cast<StatusString>(library.find("rsmi_status_string"));
  const char* text = nullptr;
  if (status_string == nullptr || status_string(status, &text) != 0 || text == nullptr) {
    return fmt::format("status {}", status);
  }
  return text;
}

/// The place on the bus as rsmi_dev_pci_id_get numbers it, without the partition: domain, bus, device, function.
std::optional<std::uint64_t> bus_number(const std::string& pci_bus_id) {
  unsigned domain = 0, bus = 0, device = 0, function = 0;
  if (std::sscanf(pci_bus_id.c_str(), "%x:%x:%x.%x", &domain, &bus, &device, &function) != 4) return std::nullopt;
  return (std::uint64_t{domain} << 32) | ((bus & 0xff) << 8) | ((device & 0x1f) << 3) | (function & 7);
}

constexpr std::uint64_t kWithoutPartition = 0xffff'ffff'0000'ffffULL;

/// ROCm 6.0 put a bool in front: {bool, u32 n, u32 current, u64 hz[]} for {u32 n, u32 current, u64 hz[]}. Read as the
/// older one, the newer has its small `current` where the first frequency would be, and no clock runs below 64 Hz.
Result<double> current_hz(const FrequencyBytes& bytes) {
  const auto u32 = [&](std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  };
  const auto u64 = [&](std::size_t at) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  };
  const bool has_deep_sleep = u64(8) < 64;
  const std::size_t header = has_deep_sleep ? 4 : 0;
  const std::size_t list = has_deep_sleep ? 16 : 8;
  const std::uint32_t count = u32(header);
  const std::uint32_t current = u32(header + 4);
  if (current >= count || list + 8 * (std::size_t{current} + 1) > bytes.size()) {
    return Error{ErrorCode::kUnavailable, fmt::format("{}: level {} of {} levels", kClock.name, current, count)};
  }
  return static_cast<double>(u64(list + 8 * std::size_t{current}));
}

class RocmSensors final : public DeviceSensors {
 public:
  static Result<std::unique_ptr<DeviceSensors>> open(const std::string& pci_bus_id,
                                                     const std::vector<std::string>& libraries) {
    const std::optional<std::uint64_t> wanted = bus_number(pci_bus_id);
    if (!wanted) {
      return Error{ErrorCode::kUnavailable,
                   fmt::format("PCI bus id: expected DOMAIN:BUS:DEVICE.FUNCTION, found \"{}\"", pci_bus_id)};
    }
    SS_TRY(SharedLibrary library, SharedLibrary::open(libraries, describe_status));
    SS_TRY_VOID(library.call(kInit, 0));
    auto sensors = std::unique_ptr<RocmSensors>(new RocmSensors(std::move(library)));
    SS_TRY(const auto n_devices, sensors->library_.get<std::uint32_t>(kCount));
    for (Device device = 0; device < n_devices; ++device) {
      const auto place = sensors->library_.get<std::uint64_t>(kPciId, device);
      if (!place || (*place & kWithoutPartition) != *wanted) continue;
      sensors->device_ = device;
      return std::unique_ptr<DeviceSensors>(std::move(sensors));
    }
    return Error{ErrorCode::kUnavailable, fmt::format("{} lists no GPU at {}", sensors->library_.name(), pci_bus_id)};
  }

  ~RocmSensors() override {
    (void)library_.call(kShutDown);  // counted by the library; there is nobody to tell
  }

  std::vector<TelemetryReading> read() override {
    const auto throttle = library_.get<std::uint64_t>(kThrottle, device_);
    const auto is_throttled = [&](std::uint64_t mask) -> Result<double> {
      if (!throttle) return throttle.error();
      return (*throttle & mask) != 0 ? 1.0 : 0.0;
    };
    const auto errors = library_.get<ErrorCount>(kEccCount, device_, kMemoryBlock);
    const auto error_count = [&](std::uint64_t ErrorCount::*kind) -> Result<double> {
      if (!errors) return errors.error();
      return static_cast<double>((*errors).*kind);
    };
    const Result<double> no_bandwidth = Error{ErrorCode::kUnavailable, "ROCm SMI has no counter of the memory's bytes"};
    const auto temperature = library_.get<std::int64_t>(kTemperature, device_, kJunction, kTemperatureNow);
    return {device_reading("device_utilisation", library_.get<std::uint32_t>(kBusy, device_), 0.01),
            device_reading("device_memory_busy", library_.get<std::uint32_t>(kMemoryBusy, device_), 0.01),
            device_reading("device_memory_bandwidth_utilisation", no_bandwidth),
            device_reading("device_memory_used_bytes", library_.get<std::uint64_t>(kMemoryUsed, device_, kVram)),
            device_reading("process_device_memory_bytes", process_bytes()),
            device_reading("device_power_w", power_uw(), 1e-6),
            device_reading("device_energy_j_max", energy_uj(), 1e-6),
            device_reading("device_clock_hz", clock_hz(kClockSystem)),
            device_reading("device_memory_clock_hz", clock_hz(kClockMemory)),
            device_reading("device_temperature_c", temperature, 1e-3),
            device_reading("device_throttled_power", is_throttled(kThrottledPower)),
            device_reading("device_throttled_thermal", is_throttled(kThrottledThermal)),
            device_reading("device_throttled_hardware", is_throttled(kThrottledHardware)),
            device_reading("device_ecc_corrected_max", error_count(&ErrorCount::corrected)),
            device_reading("device_ecc_uncorrected_max", error_count(&ErrorCount::uncorrected))};
  }

  [[nodiscard]] std::vector<std::pair<std::string, std::string>> properties() const override {
    return {{"driver", device_property(library_.get_text(kVersion, kDriver))},
            {"rocm_smi", library_.name()},
            {"compute_partition", device_property(library_.get_text(kComputePartition, device_))},
            {"memory_partition", device_property(library_.get_text(kMemoryPartition, device_))},
            {"ecc", device_property(ecc())},
            {"power_limit", device_property(power_limit())}};
  }

 private:
  explicit RocmSensors(SharedLibrary library) : library_(std::move(library)) {}

  [[nodiscard]] Result<double> process_bytes() const {
    SS_TRY(const auto process, library_.get<ProcessInfo>(kProcess, static_cast<std::uint32_t>(getpid())));
    return static_cast<double>(process.vram_bytes);
  }

  /// Microwatts: of the socket now (MI300 and newer, ROCm 6), else the driver's average.
  [[nodiscard]] Result<std::uint64_t> power_uw() const {
    const auto now = library_.get<std::uint64_t>(kSocketPower, device_);
    return now ? now : library_.get<std::uint64_t>(kAveragePower, device_, 0U);
  }

  [[nodiscard]] Result<double> energy_uj() const {
    std::uint64_t count = 0, timestamp_ns = 0;
    float uj_per_count = 0;
    SS_TRY_VOID(library_.call(kEnergy, device_, &count, &uj_per_count, &timestamp_ns));
    return static_cast<double>(count) * static_cast<double>(uj_per_count);
  }

  [[nodiscard]] Result<double> clock_hz(int type) const {
    FrequencyBytes bytes{};
    SS_TRY_VOID(library_.call(kClock, device_, type, bytes.data()));
    return current_hz(bytes);
  }

  [[nodiscard]] Result<std::string> ecc() const {
    SS_TRY(const auto blocks, library_.get<std::uint64_t>(kEccBlocks, device_));
    return std::string((blocks & kMemoryBlock) != 0 ? "on" : "off");
  }

  [[nodiscard]] Result<std::string> power_limit() const {
    SS_TRY(const auto limit_uw, library_.get<std::uint64_t>(kPowerCap, device_, 0U));
    return fmt::format("{:.0f} W", 1e-6 * static_cast<double>(limit_uw));
  }

  SharedLibrary library_;
  Device device_ = 0;
};

}  // namespace

std::vector<std::string> rocm_smi_names() {
  return {"librocm_smi64.so.7", "librocm_smi64.so.6", "librocm_smi64.so.5", "librocm_smi64.so.1"};
}

std::unique_ptr<DeviceSensors> open_rocm_sensors(const std::string& pci_bus_id,
                                                 const std::vector<std::string>& libraries) {
  auto sensors = RocmSensors::open(pci_bus_id, libraries);
  return sensors ? std::move(sensors).value() : absent_sensors(sensors.error().message);
}

}  // namespace secondsource::hip
