#include "sensors/rocm_smi.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "sensors/smi_sensors.h"

namespace secondsource {
namespace {

using Device = std::uint32_t;

struct ProcessInfo {
  std::uint32_t pid, pasid;
  std::uint64_t vram_bytes, sdma_usage;
  std::uint32_t cu_occupancy;
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
constexpr CFunction<std::uint32_t, ProcessInfo*> kProcess{"rsmi_compute_process_info_by_pid_get"};
constexpr CFunction<Device, std::uint64_t*> kSocketPower{"rsmi_dev_current_socket_power_get"};
constexpr CFunction<Device, std::uint32_t, std::uint64_t*> kAveragePower{"rsmi_dev_power_ave_get"};
constexpr CFunction<Device, std::uint32_t, std::uint64_t*> kPowerCap{"rsmi_dev_power_cap_get"};
constexpr CFunction<Device, int, void*> kClock{"rsmi_dev_gpu_clk_freq_get"};
constexpr CFunction<Device, std::uint64_t*> kThrottle{"rsmi_dev_metrics_indep_throttle_status_get"};
constexpr SmiFunctions<Device> kShared{.memory_used = {"rsmi_dev_memory_usage_get"},
                                       .energy = {"rsmi_dev_energy_count_get"},
                                       .temperature = {"rsmi_dev_temp_metric_get"},
                                       .ecc_blocks = {"rsmi_dev_ecc_enabled_get"},
                                       .ecc_count = {"rsmi_dev_ecc_count_get"},
                                       .compute_partition = {"rsmi_dev_compute_partition_get"},
                                       .memory_partition = {"rsmi_dev_memory_partition_get"}};

constexpr int kDriver = 0;
constexpr double kMillidegree = 1e-3;

/// The PCI bus id in rsmi_dev_pci_id_get's encoding, without the partition.
std::uint64_t bus_number(const BusPlace& place) {
  return (place.domain << 32) | (place.bus << 8) | (place.device << 3) | place.function;
}

constexpr std::uint64_t kWithoutPartition = 0xffff'ffff'0000'ffffULL;

/// ROCm 6.0 put a bool first: {bool, u32 n, u32 current, u64 hz[]} instead of {u32 n, u32 current, u64 hz[]}. Read as the
/// older layout, the newer one has its small `current` in place of the first frequency, and no clock runs below 64 Hz.
struct Frequencies {
  double current_hz, max_hz;
};
Result<Frequencies> frequencies_of(const FrequencyBytes& bytes) {
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
  if (current >= count || list + 8 * std::size_t{count} > bytes.size()) {
    return Error{ErrorCode::kUnavailable, fmt::format("{}: level {} of {} levels", kClock.name, current, count)};
  }
  Frequencies found{.current_hz = static_cast<double>(u64(list + 8 * std::size_t{current})), .max_hz = 0};
  for (std::size_t level = 0; level < count; ++level) {
    found.max_hz = std::max(found.max_hz, static_cast<double>(u64(list + 8 * level)));
  }
  return found;
}

class RocmSensors final : public SmiSensors<Device> {
 public:
  /// Owns one reference of rsmi_init.
  RocmSensors(SharedLibrary library, std::string why_not_amd_smi)
      : SmiSensors(std::move(library), 0, kShared, kMillidegree), why_not_amd_smi_(std::move(why_not_amd_smi)) {}

  ~RocmSensors() override {
    (void)library_.call(kShutDown);  // reference-counted by the library; an error cannot be handled here
  }

  Result<void> choose(const BusPlace& place, const std::string& pci_bus_id) {
    SS_TRY(const auto n_devices, library_.get<std::uint32_t>(kCount));
    for (device_ = 0; device_ < n_devices; ++device_) {
      const auto number = library_.get<std::uint64_t>(kPciId, device_);
      if (number && (*number & kWithoutPartition) == bus_number(place)) return {};
    }
    return Error{ErrorCode::kUnavailable, fmt::format("{} lists no GPU at {}", library_.name(), pci_bus_id)};
  }

 private:
  Changing changing() override {
    return {.busy_percent = as_double(library_.get<std::uint32_t>(kBusy, device_)),
            .memory_busy_percent = as_double(library_.get<std::uint32_t>(kMemoryBusy, device_)),
            .process_bytes = process_bytes(),
            .power_w = power_w(),
            .clock_hz = clock_hz(kClockSystem),
            .memory_clock_hz = clock_hz(kClockMemory),
            .throttling = throttling_of_bits(library_.get<std::uint64_t>(kThrottle, device_))};
  }

  [[nodiscard]] std::vector<std::pair<std::string, std::string>> libraries() const override {
    return {{"amd_smi", "not available: " + why_not_amd_smi_}, {"rocm_smi", library_.name()}};
  }

  [[nodiscard]] Result<std::string> driver() const override { return library_.get_text(kVersion, kDriver); }

  [[nodiscard]] Result<std::uint64_t> power_limit_uw() const override {
    return library_.get<std::uint64_t>(kPowerCap, device_, 0U);
  }

  template <typename Number>
  static Result<double> as_double(const Result<Number>& value, double scale = 1.0) {
    if (!value) return value.error();
    return static_cast<double>(*value) * scale;
  }

  [[nodiscard]] Result<double> process_bytes() const {
    SS_TRY(const auto process, library_.get<ProcessInfo>(kProcess, static_cast<std::uint32_t>(getpid())));
    return static_cast<double>(process.vram_bytes);
  }

  /// The socket's current power (MI300 and newer, ROCm 6), else the driver's average.
  [[nodiscard]] Result<double> power_w() const {
    const auto now = library_.get<std::uint64_t>(kSocketPower, device_);
    return as_double(now ? now : library_.get<std::uint64_t>(kAveragePower, device_, 0U), 1e-6);
  }

  [[nodiscard]] Result<Frequencies> frequencies(int type) const {
    FrequencyBytes bytes{};
    SS_TRY_VOID(library_.call(kClock, device_, type, bytes.data()));
    return frequencies_of(bytes);
  }

  [[nodiscard]] Result<double> clock_hz(int type) const {
    SS_TRY(const Frequencies found, frequencies(type));
    return found.current_hz;
  }

  [[nodiscard]] Result<double> max_clock_hz(int type) const override {
    SS_TRY(const Frequencies found, frequencies(type));
    return found.max_hz;
  }

  std::string why_not_amd_smi_;
};

}  // namespace

std::vector<std::string> rocm_smi_names() {
  return {"librocm_smi64.so.7", "librocm_smi64.so.6", "librocm_smi64.so.5", "librocm_smi64.so.1"};
}

Result<std::unique_ptr<DeviceSensors>> open_rocm_smi(const std::string& pci_bus_id,
                                                     const std::vector<std::string>& libraries,
                                                     const std::string& why_not_amd_smi) {
  SS_TRY(const BusPlace place, parse_bus_place(pci_bus_id));
  SS_TRY(SharedLibrary library, SharedLibrary::open(libraries, describe_by("rsmi_status_string")));
  SS_TRY_VOID(library.call(kInit, 0));
  auto sensors = std::make_unique<RocmSensors>(std::move(library), why_not_amd_smi);
  SS_TRY_VOID(sensors->choose(place, pci_bus_id));
  return std::unique_ptr<DeviceSensors>(std::move(sensors));
}

}  // namespace secondsource
