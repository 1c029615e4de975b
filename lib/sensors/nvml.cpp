#include "sensors/nvml.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdint>

namespace secondsource {
namespace {

using Handle = struct nvmlDevice_st*;
using Bytes = unsigned long long;

struct Memory {
  Bytes total, free, used;
};
struct Utilisation {
  unsigned gpu_percent, memory_percent;
};
struct ProcessInfo {  // nvmlProcessInfo_v2_t, as nvmlDeviceGetComputeRunningProcesses_v3 fills it
  unsigned pid;
  Bytes used_bytes;
  unsigned gpu_instance, compute_instance;
};
struct GpmMetric {
  unsigned id;
  int status;
  double value;
  const char *short_name, *long_name, *unit;
};
struct GpmSupport {
  unsigned version, supported;
};
struct GpmRequest {  // nvmlGpmMetricsGet_t; only n_metrics entries of the list are read; its length grew from 98 to 333
  unsigned version, n_metrics;
  void *first, *second;
  std::array<GpmMetric, 400> metrics;
};

constexpr CFunction<> kInit{"nvmlInit_v2"};
constexpr CFunction<> kShutdown{"nvmlShutdown"};
constexpr CFunction<char*, unsigned> kDriverVersion{"nvmlSystemGetDriverVersion"};
constexpr CFunction<char*, unsigned> kLibraryVersion{"nvmlSystemGetNVMLVersion"};
constexpr CFunction<int*> kCudaVersion{"nvmlSystemGetCudaDriverVersion_v2"};
constexpr CFunction<unsigned*> kCount{"nvmlDeviceGetCount_v2"};
constexpr CFunction<unsigned, Handle*> kByIndex{"nvmlDeviceGetHandleByIndex_v2"};
constexpr CFunction<const char*, Handle*> kByUuid{"nvmlDeviceGetHandleByUUID"};
constexpr CFunction<Handle, char*, unsigned> kName{"nvmlDeviceGetName"};
constexpr CFunction<Handle, char*, unsigned> kUuid{"nvmlDeviceGetUUID"};
constexpr CFunction<Handle, unsigned*, unsigned*> kMigMode{"nvmlDeviceGetMigMode"};
constexpr CFunction<Handle, unsigned*> kMaxInstances{"nvmlDeviceGetMaxMigDeviceCount"};
constexpr CFunction<Handle, unsigned, Handle*> kInstance{"nvmlDeviceGetMigDeviceHandleByIndex"};
constexpr CFunction<Handle, unsigned*> kIsInstance{"nvmlDeviceIsMigDeviceHandle"};
constexpr CFunction<Handle, Handle*> kParent{"nvmlDeviceGetDeviceHandleFromMigDeviceHandle"};
constexpr CFunction<Handle, int*, int*> kCapability{"nvmlDeviceGetCudaComputeCapability"};
constexpr CFunction<Handle, Memory*> kMemory{"nvmlDeviceGetMemoryInfo"};
constexpr CFunction<Handle, Utilisation*> kUtilisation{"nvmlDeviceGetUtilizationRates"};
constexpr CFunction<Handle, unsigned*, ProcessInfo*> kProcesses{"nvmlDeviceGetComputeRunningProcesses_v3"};
constexpr CFunction<Handle, unsigned*> kPower{"nvmlDeviceGetPowerUsage"};
constexpr CFunction<Handle, unsigned*> kPowerLimit{"nvmlDeviceGetEnforcedPowerLimit"};
constexpr CFunction<Handle, Bytes*> kEnergy{"nvmlDeviceGetTotalEnergyConsumption"};
constexpr CFunction<Handle, int, unsigned*> kClock{"nvmlDeviceGetClockInfo"};
constexpr CFunction<Handle, int, unsigned*> kMaxClock{"nvmlDeviceGetMaxClockInfo"};
constexpr CFunction<Handle, int, unsigned*> kTemperature{"nvmlDeviceGetTemperature"};
constexpr CFunction<Handle, Bytes*> kThrottleReasons{"nvmlDeviceGetCurrentClocksThrottleReasons"};
constexpr CFunction<Handle, int*, int*> kEccMode{"nvmlDeviceGetEccMode"};
constexpr CFunction<Handle, int, int, Bytes*> kEccErrors{"nvmlDeviceGetTotalEccErrors"};
constexpr CFunction<Handle, GpmSupport*> kGpmSupport{"nvmlGpmQueryDeviceSupport"};
constexpr CFunction<void**> kGpmAllocate{"nvmlGpmSampleAlloc"};
constexpr CFunction<void*> kGpmFree{"nvmlGpmSampleFree"};
constexpr CFunction<Handle, void*> kGpmSample{"nvmlGpmSampleGet"};
constexpr CFunction<GpmRequest*> kGpmMetrics{"nvmlGpmMetricsGet"};

constexpr int kClockSm = 1, kClockMemory = 2;
constexpr int kSensorGpu = 0;
constexpr int kCorrected = 0, kUncorrected = 1, kSinceDriverLoad = 0;
constexpr Bytes kNoBytes = ~Bytes{0};
constexpr unsigned kDramBandwidthPercent = 10;
// nvmlClocksThrottleReason*: software power cap; software and hardware thermal; hardware slowdown, external power
// brake.
constexpr Bytes kThrottledPower = 0x4, kThrottledThermal = 0x20 | 0x40, kThrottledHardware = 0x8 | 0x80;

std::string describe_status(const SharedLibrary& library, int status) {
  using ErrorString = const char* (*)(int);
  const auto error_string = reinterpret_cast<ErrorString>(library.find("nvmlErrorString"));
  const char* const text = error_string != nullptr ? error_string(status) : nullptr;
  return text != nullptr ? text : fmt::format("status {}", status);
}

Result<std::string> with_unit(const Result<unsigned>& value, double scale, const char* unit) {
  if (!value) return value.error();
  return fmt::format("{:.0f} {}", *value * scale, unit);
}

}  // namespace

Result<std::shared_ptr<const Nvml>> Nvml::open(const std::string& library) {
  SS_TRY(SharedLibrary opened, SharedLibrary::open({library}, describe_status));
  SS_TRY_VOID(opened.call(kInit));
  return std::shared_ptr<const Nvml>(new Nvml(std::move(opened)));
}

Nvml::~Nvml() {
  (void)library_.call(kShutdown);  // reference-counted by the library; an error cannot be handled here
}

Result<std::vector<NvmlDevice>> Nvml::devices() const {
  const auto describe = [&](Handle handle, Handle whole, std::string parent) -> Result<NvmlDevice> {
    NvmlDevice device;
    device.parent = std::move(parent);
    int major = 0, minor = 0;
    if (library_.call(kCapability, whole, &major, &minor)) device.target = fmt::format("sm_{}{}", major, minor);
    SS_TRY(const auto memory, library_.get<Memory>(kMemory, handle));
    device.memory_bytes = static_cast<std::int64_t>(memory.total);
    SS_TRY(device.uuid, library_.get_text(kUuid, handle));
    SS_TRY(device.name, library_.get_text(kName, handle));
    return device;
  };
  std::vector<NvmlDevice> devices;
  SS_TRY(const auto n_devices, library_.get<unsigned>(kCount));
  for (unsigned index = 0; index < n_devices; ++index) {
    SS_TRY(const auto handle, library_.get<Handle>(kByIndex, index));
    SS_TRY(NvmlDevice device, describe(handle, handle, ""));
    unsigned mig = 0, pending = 0;
    // A GPU that cannot be partitioned answers "Not Supported".
    device.has_instances = library_.call(kMigMode, handle, &mig, &pending) && mig == 1;
    const std::string parent = device.uuid;
    const bool has_instances = device.has_instances;
    devices.push_back(std::move(device));
    if (!has_instances) continue;
    SS_TRY(const auto n_places, library_.get<unsigned>(kMaxInstances, handle));
    for (unsigned place = 0; place < n_places; ++place) {
      const auto instance = library_.get<Handle>(kInstance, handle, place);
      if (!instance) continue;  // no instance at this index
      SS_TRY(NvmlDevice part, describe(*instance, handle, parent));
      devices.push_back(std::move(part));
    }
  }
  return devices;
}

class NvmlSensors final : public DeviceSensors {
 public:
  static Result<std::unique_ptr<DeviceSensors>> open(const std::string& uuid, const std::string& library_name) {
    SS_TRY(std::shared_ptr<const Nvml> nvml, Nvml::open(library_name));
    const SharedLibrary& library = nvml->library_;
    SS_TRY(const auto handle, library.get<Handle>(kByUuid, uuid.c_str()));
    Handle whole = handle;
    const auto is_instance = library.get<unsigned>(kIsInstance, handle);
    if (is_instance && *is_instance == 1) {
      SS_TRY(whole, library.get<Handle>(kParent, handle));
    }
    return std::unique_ptr<DeviceSensors>(new NvmlSensors(std::move(nvml), handle, whole));
  }

  ~NvmlSensors() override {
    for (void* const sample : {previous_, current_}) {
      if (sample != nullptr) (void)library_.call(kGpmFree, sample);
    }
  }

  std::vector<TelemetryReading> read() override {
    const auto busy = library_.get<Utilisation>(kUtilisation, whole_);
    const auto share = [&](unsigned Utilisation::*percent) -> Result<double> {
      if (!busy) return busy.error();
      return static_cast<double>((*busy).*percent);
    };
    const auto reasons = library_.get<Bytes>(kThrottleReasons, whole_);
    const auto is_throttled = [&](Bytes mask) -> Result<double> {
      if (!reasons) return reasons.error();
      return (*reasons & mask) != 0 ? 1.0 : 0.0;
    };
    const auto clock = [&](int type) { return library_.get<unsigned>(kClock, whole_, type); };
    const auto errors = [&](int type) { return library_.get<Bytes>(kEccErrors, whole_, type, kSinceDriverLoad); };
    return {device_reading("device_utilisation", share(&Utilisation::gpu_percent), 0.01),
            device_reading("device_memory_busy", share(&Utilisation::memory_percent), 0.01),
            device_reading("device_memory_bandwidth_utilisation", dram_bandwidth_percent(), 0.01),
            device_reading("device_memory_used_bytes", used_bytes()),
            device_reading("process_device_memory_bytes", process_bytes()),
            device_reading("device_power_w", library_.get<unsigned>(kPower, whole_), 1e-3),
            device_reading("device_energy_j_max", library_.get<Bytes>(kEnergy, whole_), 1e-3),
            device_reading("device_clock_hz", clock(kClockSm), 1e6),
            device_reading("device_memory_clock_hz", clock(kClockMemory), 1e6),
            device_reading("device_temperature_c", library_.get<unsigned>(kTemperature, whole_, kSensorGpu)),
            device_reading("device_throttled_power", is_throttled(kThrottledPower)),
            device_reading("device_throttled_thermal", is_throttled(kThrottledThermal)),
            device_reading("device_throttled_hardware", is_throttled(kThrottledHardware)),
            device_reading("device_ecc_corrected_max", errors(kCorrected)),
            device_reading("device_ecc_uncorrected_max", errors(kUncorrected))};
  }

  [[nodiscard]] std::vector<std::pair<std::string, std::string>> properties() const override {
    const auto max_clock = [&](int type) {
      return device_property(with_unit(library_.get<unsigned>(kMaxClock, whole_, type), 1.0, "MHz"));
    };
    return {{"driver", device_property(library_.get_text(kDriverVersion))},
            {"driver_cuda", device_property(cuda_version())},
            {"nvml", device_property(library_.get_text(kLibraryVersion))},
            {"mig", device_property(mig())},
            {"ecc", device_property(ecc())},
            {"power_limit", device_property(with_unit(library_.get<unsigned>(kPowerLimit, whole_), 1e-3, "W"))},
            {"clock_max", max_clock(kClockSm)},
            {"memory_clock_max", max_clock(kClockMemory)}};
  }

 private:
  NvmlSensors(std::shared_ptr<const Nvml> nvml, Handle handle, Handle whole)
      : nvml_(std::move(nvml)), library_(nvml_->library_), handle_(handle), whole_(whole) {}

  [[nodiscard]] Result<double> used_bytes() const {
    SS_TRY(const auto memory, library_.get<Memory>(kMemory, handle_));
    return static_cast<double>(memory.used);
  }

  [[nodiscard]] Result<double> process_bytes() const {
    std::array<ProcessInfo, 64> processes{};
    auto n_processes = static_cast<unsigned>(processes.size());
    SS_TRY_VOID(library_.call(kProcesses, handle_, &n_processes, processes.data()));
    const auto own = static_cast<unsigned>(getpid());
    for (unsigned index = 0; index < n_processes && index < processes.size(); ++index) {
      if (processes[index].pid != own) continue;
      if (processes[index].used_bytes == kNoBytes) break;
      return static_cast<double>(processes[index].used_bytes);
    }
    // In a container the driver reports the host's process ids.
    return Error{ErrorCode::kUnavailable, fmt::format("the driver lists no memory of process {}", own)};
  }

  /// From two samples of the GPU performance monitor (Hopper and newer), taken at consecutive reads.
  Result<double> dram_bandwidth_percent() {
    if (handle_ != whole_) return Error{ErrorCode::kUnavailable, "a MIG instance has no counter of its own here"};
    GpmSupport support{.version = 1, .supported = 0};
    SS_TRY_VOID(library_.call(kGpmSupport, whole_, &support));
    if (support.supported == 0) return Error{ErrorCode::kUnavailable, "this GPU has no performance monitor (GPM)"};
    if (current_ == nullptr) SS_TRY_VOID(library_.call(kGpmAllocate, &current_));
    SS_TRY_VOID(library_.call(kGpmSample, whole_, current_));
    std::swap(previous_, current_);  // previous_ now holds the newest sample
    if (current_ == nullptr) return Error{ErrorCode::kUnavailable, "the first sample: a rate needs two"};
    GpmRequest request{.version = 1, .n_metrics = 1, .first = current_, .second = previous_, .metrics = {}};
    request.metrics[0].id = kDramBandwidthPercent;
    SS_TRY_VOID(library_.call(kGpmMetrics, &request));
    const int status = request.metrics[0].status;
    if (status != 0) return Error{ErrorCode::kUnavailable, describe_status(library_, status)};
    return request.metrics[0].value;
  }

  [[nodiscard]] Result<std::string> cuda_version() const {
    SS_TRY(const int version, library_.get<int>(kCudaVersion));
    return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
  }

  [[nodiscard]] Result<std::string> mig() const {
    unsigned mode = 0, pending = 0;
    SS_TRY_VOID(library_.call(kMigMode, whole_, &mode, &pending));
    if (mode == 0) return std::string("off");
    if (handle_ == whole_) return std::string("on");
    SS_TRY(const std::string name, library_.get_text(kName, handle_));
    return fmt::format("instance {}; power, clocks and utilisation are the whole GPU's", name);
  }

  [[nodiscard]] Result<std::string> ecc() const {
    int mode = 0, pending = 0;
    SS_TRY_VOID(library_.call(kEccMode, whole_, &mode, &pending));
    return std::string(mode == 1 ? "on" : "off");
  }

  std::shared_ptr<const Nvml> nvml_;
  const SharedLibrary& library_;
  Handle handle_;
  Handle whole_;  ///< the GPU of an instance; else handle_
  void* previous_ = nullptr;
  void* current_ = nullptr;
};

std::unique_ptr<DeviceSensors> open_nvml_sensors(const std::string& uuid, const std::string& library) {
  auto sensors = NvmlSensors::open(uuid, library);
  return sensors ? std::move(sensors).value() : absent_sensors(sensors.error().message);
}

}  // namespace secondsource
