#include "sensors/amd_smi.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>

#include "sensors/smi_sensors.h"

namespace secondsource {
namespace {

using Device = void*;

// Structs of amdsmi.h 26. The library writes to `reserved` and `later`; they are not read here.
struct Version {
  std::uint32_t major, minor, release;  // before 25 the year came first, followed by these
  std::uint32_t reserved;
  const char* build;
};
struct Activity {
  std::uint32_t compute_percent, memory_percent;
  std::array<std::uint32_t, 14> reserved;
};
struct Power {
  std::uint64_t socket_w;
  std::uint32_t current_socket_w, average_socket_w;
  std::array<std::uint64_t, 22> reserved;
};
struct Clock {
  std::uint32_t mhz, min_mhz, max_mhz;
  std::array<std::uint32_t, 5> reserved;
};
struct PowerCap {
  std::uint64_t cap_uw;
  std::array<std::uint64_t, 7> reserved;
};
struct Driver {
  std::array<char, 256> version, date, name;
};
struct Process {
  std::array<char, 256> name;
  std::uint32_t pid;
  std::uint64_t memory_bytes;
  std::array<std::uint64_t, 8> engines;
  std::uint64_t gtt_bytes, cpu_bytes, vram_bytes;
  std::array<std::uint64_t, 5> reserved;
  std::array<char, 256> container;
  std::array<std::uint64_t, 6> later;
};
static_assert(sizeof(Version) == 24 && sizeof(Activity) == 64 && sizeof(Power) == 192 && sizeof(Clock) == 32);
static_assert(sizeof(PowerCap) == 64 && sizeof(Driver) == 768 && sizeof(Process) == 704);

/// amdsmi_gpu_metrics_t, 4544 bytes in 26.0; newer versions append fields. Two of its fields are read.
using MetricsBytes = std::array<unsigned char, 16384>;
constexpr std::size_t kThrottleBits = 112, kResidencies = 424;
/// The number of the firmware's samples, and of those in which a limit throttled the clock.
struct Residencies {
  std::uint64_t samples, hot_processor, power, hot_socket, hot_regulator, hot_memory;
};

constexpr CFunction<std::uint64_t> kInit{"amdsmi_init"};
constexpr CFunction<Version*> kVersion{"amdsmi_get_lib_version"};
constexpr CFunction<std::uint64_t, Device*> kDeviceAt{"amdsmi_get_processor_handle_from_bdf"};
constexpr CFunction<Device, Activity*> kActivity{"amdsmi_get_gpu_activity"};
constexpr CFunction<Device, std::uint32_t*, Process*> kProcesses{"amdsmi_get_gpu_process_list"};
constexpr CFunction<Device, Power*> kPower{"amdsmi_get_power_info"};
constexpr CFunction<Device, std::uint32_t, PowerCap*> kPowerCap{"amdsmi_get_power_cap_info"};
constexpr CFunction<Device, int, Clock*> kClock{"amdsmi_get_clock_info"};
constexpr CFunction<Device, void*> kMetrics{"amdsmi_get_gpu_metrics_info"};
constexpr CFunction<Device, Driver*> kDriver{"amdsmi_get_gpu_driver_info"};
constexpr SmiFunctions<Device> kShared{.memory_used = {"amdsmi_get_gpu_memory_usage"},
                                       .energy = {"amdsmi_get_energy_count"},
                                       .temperature = {"amdsmi_get_temp_metric"},
                                       .ecc_blocks = {"amdsmi_get_gpu_ecc_enabled"},
                                       .ecc_count = {"amdsmi_get_gpu_ecc_count"},
                                       .compute_partition = {"amdsmi_get_gpu_compute_partition"},
                                       .memory_partition = {"amdsmi_get_gpu_memory_partition"}};

constexpr std::uint32_t kMajor = 26;
constexpr std::uint64_t kGpus = 1 << 1;
constexpr double kDegree = 1;

/// A value that the driver does not have is all ones in its original width.
Result<double> given(const char* function, std::uint32_t value, double scale = 1.0) {
  if (value == std::numeric_limits<std::uint32_t>::max() || value == std::numeric_limits<std::uint16_t>::max()) {
    return Error{ErrorCode::kUnavailable, fmt::format("{}: the driver has no value", function)};
  }
  return value * scale;
}

constexpr std::uint64_t kNotGiven = std::numeric_limits<std::uint64_t>::max();

class AmdSensors final : public SmiSensors<Device> {
 public:
  AmdSensors(SharedLibrary library, Device device, std::string version)
      : SmiSensors(std::move(library), device, kShared, kDegree), version_(std::move(version)) {}

 private:
  Changing changing() override {
    const auto activity = library_.get<Activity>(kActivity, device_);
    const auto busy = [&](std::uint32_t Activity::*percent) -> Result<double> {
      if (!activity) return activity.error();
      return given(kActivity.name, (*activity).*percent);
    };
    return {.busy_percent = busy(&Activity::compute_percent),
            .memory_busy_percent = busy(&Activity::memory_percent),
            .process_bytes = process_bytes(),
            .power_w = power_w(),
            .clock_hz = clock_hz(kClockSystem),
            .memory_clock_hz = clock_hz(kClockMemory),
            .throttling = throttling()};
  }

  [[nodiscard]] std::vector<std::pair<std::string, std::string>> libraries() const override {
    return {{"amd_smi", fmt::format("{}, {}", library_.name(), version_)}};
  }

  [[nodiscard]] Result<std::string> driver() const override {
    SS_TRY(auto driver, library_.get<Driver>(kDriver, device_));
    driver.version.back() = '\0';
    return std::string(driver.version.data());
  }

  [[nodiscard]] Result<std::uint64_t> power_limit_uw() const override {
    SS_TRY(const auto cap, library_.get<PowerCap>(kPowerCap, device_, 0U));
    return cap.cap_uw;
  }

  [[nodiscard]] Result<double> process_bytes() const {
    std::array<Process, 64> processes{};
    auto n_processes = static_cast<std::uint32_t>(processes.size());
    SS_TRY_VOID(library_.call(kProcesses, device_, &n_processes, processes.data()));
    const auto own = static_cast<std::uint32_t>(getpid());
    for (const Process& process : processes) {
      if (process.pid == own) return static_cast<double>(process.vram_bytes);
    }
    // In a container the driver reports the host's process ids.
    return Error{ErrorCode::kUnavailable, fmt::format("the driver lists no memory of process {}", own)};
  }

  /// The socket's current power (MI300 and newer), else the driver's average.
  [[nodiscard]] Result<double> power_w() const {
    SS_TRY(const auto power, library_.get<Power>(kPower, device_));
    auto now = given(kPower.name, power.current_socket_w);
    return now ? now : given(kPower.name, power.average_socket_w);
  }

  [[nodiscard]] Result<double> clock_hz(int type) const {
    SS_TRY(const auto clock, library_.get<Clock>(kClock, device_, type));
    return given(kClock.name, clock.mhz, 1e6);
  }

  [[nodiscard]] Result<double> max_clock_hz(int type) const override {
    SS_TRY(const auto clock, library_.get<Clock>(kClock, device_, type));
    return given(kClock.name, clock.max_mhz, 1e6);
  }

  /// From the firmware's counters if the GPU has them (MI300 and newer), else from the driver's bits.
  /// amdsmi_get_violation_status reads the same counters, but sleeps for a tenth of a second.
  Throttling throttling() {
    MetricsBytes bytes{};
    if (const auto status = library_.call(kMetrics, device_, bytes.data()); !status) {
      return throttling_of_bits(status.error());
    }
    std::uint64_t bits = 0;
    std::memcpy(&bits, bytes.data() + kThrottleBits, sizeof bits);
    Residencies now{};
    std::memcpy(&now, bytes.data() + kResidencies, sizeof now);
    if (now.samples == kNotGiven) {
      if (bits != kNotGiven) return throttling_of_bits(bits);
      return throttling_of_bits(Error{ErrorCode::kUnavailable, "this GPU's metrics have no throttle status"});
    }
    const std::optional<Residencies> before = std::exchange(before_, now);
    const auto share = [&](std::uint64_t Residencies::*limit) -> Result<double> {
      if (!before) return Error{ErrorCode::kUnavailable, "the first sample: a rate needs two"};
      if (now.*limit == kNotGiven || now.samples <= before->samples || now.*limit < (*before).*limit) {
        return Error{ErrorCode::kUnavailable, "the firmware's counter has not moved on since the last sample"};
      }
      return static_cast<double>(now.*limit - (*before).*limit) / static_cast<double>(now.samples - before->samples);
    };
    // The temperature that throttled the clock most.
    Result<double> thermal = share(&Residencies::hot_socket);
    for (const auto limit : {&Residencies::hot_regulator, &Residencies::hot_memory}) {
      const Result<double> other = share(limit);
      if (other && (!thermal || *other > *thermal)) thermal = other;
    }
    return {.power = share(&Residencies::power),
            .thermal = std::move(thermal),
            .hardware = share(&Residencies::hot_processor)};
  }

  std::string version_;
  std::optional<Residencies> before_;
};

}  // namespace

std::vector<std::string> amd_smi_names() {
  return {"libamd_smi.so.26"};
}

Result<std::unique_ptr<DeviceSensors>> open_amd_smi(const std::string& pci_bus_id,
                                                    const std::vector<std::string>& libraries) {
  SS_TRY(const BusPlace place, parse_bus_place(pci_bus_id));
  SS_TRY(SharedLibrary library, SharedLibrary::open(libraries, describe_by("amdsmi_status_code_to_string")));
  // A second amdsmi_init does nothing and is not counted, so amdsmi_shut_down must not be called.
  SS_TRY_VOID(library.call(kInit, kGpus));
  SS_TRY(const auto version, library.get<Version>(kVersion));
  if (version.major != kMajor) {
    return Error{ErrorCode::kUnavailable, fmt::format("{} is AMD SMI {}.{}: only the structs of {} are known",
                                                      library.name(), version.major, version.minor, kMajor)};
  }
  const std::uint64_t number = (place.domain << 16) | (place.bus << 8) | (place.device << 3) | place.function;
  SS_TRY(void* const device, library.get<Device>(kDeviceAt, number));
  std::string text = fmt::format("{}.{}.{}", version.major, version.minor, version.release);
  return std::unique_ptr<DeviceSensors>(std::make_unique<AmdSensors>(std::move(library), device, std::move(text)));
}

}  // namespace secondsource
