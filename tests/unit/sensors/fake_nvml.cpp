// A stand-in for libnvidia-ml.so.1: two GPUs, of which the second can be partitioned. Written from the NVML API
// reference (signatures, status numbers, buffer rules), not from the reader under test. $SS_FAKE_NVML holds faults:
//   no-driver     nvmlInit_v2 fails          power-fails  nvmlDeviceGetPowerUsage fails
//   mig           the second GPU has MIG on  alone        the process list has other processes only
//   hot           both thermal throttle reasons and the power cap are set

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#define SS_NVML extern "C" __attribute__((visibility("default")))

namespace {

enum Status {
  kSuccess = 0,
  kInvalidArgument = 2,
  kNotSupported = 3,
  kNotFound = 6,
  kTooSmall = 7,
  kNoDriver = 9,
  kUnknown = 999
};

struct Device {
  const char* uuid;
  const char* name;
  Device* parent;
};
Device devices[2] = {{"GPU-0000", "NVIDIA Stand-In 80GB", nullptr}, {"GPU-1111", "NVIDIA Stand-In 80GB", nullptr}};
Device instances[2] = {{"MIG-aaaa", "NVIDIA Stand-In 80GB MIG 1g.10gb", &devices[1]},
                       {"MIG-bbbb", "NVIDIA Stand-In 80GB MIG 2g.20gb", &devices[1]}};
int n_open = 0;
[[maybe_unused]] unsigned long long n_samples = 0;

bool has(const char* fault) {
  const char* const set = std::getenv("SS_FAKE_NVML");
  return set != nullptr && (std::string(",") + set + ",").find(std::string(",") + fault + ",") != std::string::npos;
}

bool is_instance(const Device* device) {
  return device->parent != nullptr;
}

int put_text(const char* text, char* out, unsigned length) {
  if (out == nullptr) return kInvalidArgument;
  if (std::strlen(text) + 1 > length) return kTooSmall;
  std::strcpy(out, text);
  return kSuccess;
}

template <typename T>
int put(T* out, T value) {
  if (n_open <= 0) return 1;  // NVML_ERROR_UNINITIALIZED
  if (out == nullptr) return kInvalidArgument;
  *out = value;
  return kSuccess;
}

/// Returns a value that the driver reports only for a whole GPU, not for a MIG instance.
template <typename T>
int put_of_whole(const Device* device, T* out, T value) {
  return is_instance(device) ? kNotSupported : put(out, value);
}

}  // namespace

SS_NVML int fake_nvml_n_open() {
  return n_open;
}

SS_NVML int nvmlInit_v2() {
  if (has("no-driver")) return kNoDriver;
  ++n_open;
  return kSuccess;
}
SS_NVML int nvmlShutdown() {
  --n_open;
  return kSuccess;
}
SS_NVML const char* nvmlErrorString(int status) {
  switch (status) {
    case kSuccess:
      return "Success";
    case kInvalidArgument:
      return "Invalid Argument";
    case kNotSupported:
      return "Not Supported";
    case kNotFound:
      return "Not Found";
    case kTooSmall:
      return "Insufficient Size";
    case kNoDriver:
      return "Driver Not Loaded";
    default:
      return "Unknown Error";
  }
}
SS_NVML int nvmlSystemGetDriverVersion(char* out, unsigned length) {
  return put_text("580.65.06", out, length);
}
SS_NVML int nvmlSystemGetNVMLVersion(char* out, unsigned length) {
  return put_text("13.580.65.06", out, length);
}
SS_NVML int nvmlSystemGetCudaDriverVersion_v2(int* out) {
  return put(out, 13000);
}

SS_NVML int nvmlDeviceGetCount_v2(unsigned* out) {
  return put(out, 2U);
}
SS_NVML int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device** out) {
  return index < 2 ? put(out, &devices[index]) : static_cast<int>(kInvalidArgument);
}
SS_NVML int nvmlDeviceGetHandleByUUID(const char* uuid, Device** out) {
  for (Device& device : devices) {
    if (std::strcmp(device.uuid, uuid) == 0) return put(out, &device);
  }
  for (Device& device : instances) {
    if (has("mig") && std::strcmp(device.uuid, uuid) == 0) return put(out, &device);
  }
  return kNotFound;
}
SS_NVML int nvmlDeviceGetName(Device* device, char* out, unsigned length) {
  return put_text(device->name, out, length);
}
SS_NVML int nvmlDeviceGetUUID(Device* device, char* out, unsigned length) {
  return put_text(device->uuid, out, length);
}

SS_NVML int nvmlDeviceGetMigMode(Device* device, unsigned* current, unsigned* pending) {
  if (device == &devices[0] || is_instance(device)) return kNotSupported;
  *pending = has("mig") ? 1 : 0;
  return put(current, *pending);
}
SS_NVML int nvmlDeviceGetMaxMigDeviceCount(Device*, unsigned* out) {
  return put(out, 7U);
}
SS_NVML int nvmlDeviceGetMigDeviceHandleByIndex(Device* device, unsigned index, Device** out) {
  if (device != &devices[1] || !has("mig")) return kInvalidArgument;
  if (index == 0) return put(out, &instances[0]);
  if (index == 3) return put(out, &instances[1]);
  return kNotFound;
}
SS_NVML int nvmlDeviceIsMigDeviceHandle(Device* device, unsigned* out) {
  return put(out, is_instance(device) ? 1U : 0U);
}
SS_NVML int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device* device, Device** out) {
  return is_instance(device) ? put(out, device->parent) : static_cast<int>(kInvalidArgument);
}

SS_NVML int nvmlDeviceGetCudaComputeCapability(Device* device, int* major, int* minor) {
  *minor = 0;
  return put_of_whole(device, major, 9);
}
struct Memory {
  unsigned long long total, free, used;
};
SS_NVML int nvmlDeviceGetMemoryInfo(Device* device, Memory* out) {
  constexpr unsigned long long kGib = 1ULL << 30;
  return put(out, is_instance(device) ? Memory{10 * kGib, 9 * kGib, kGib} : Memory{80 * kGib, 50 * kGib, 30 * kGib});
}
struct Utilization {
  unsigned gpu, memory;
};
SS_NVML int nvmlDeviceGetUtilizationRates(Device* device, Utilization* out) {
  if (has("mig") && device == &devices[1]) return kNotSupported;
  return put_of_whole(device, out, Utilization{97, 61});
}
struct ProcessInfo {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};
SS_NVML int nvmlDeviceGetComputeRunningProcesses_v3(Device*, unsigned* count, ProcessInfo* out) {
  if (*count < 2) return kTooSmall;
  *count = has("alone") ? 1 : 2;
  out[0] = {1, 111, ~0U, ~0U};
  out[1] = {static_cast<unsigned>(getpid()), 512ULL << 20, ~0U, ~0U};
  return kSuccess;
}
SS_NVML int nvmlDeviceGetPowerUsage(Device* device, unsigned* out) {
  return has("power-fails") ? static_cast<int>(kUnknown) : put_of_whole(device, out, 432'100U);
}
SS_NVML int nvmlDeviceGetEnforcedPowerLimit(Device* device, unsigned* out) {
  return put_of_whole(device, out, 700'000U);
}
#ifndef SS_FAKE_NVML_OLD
SS_NVML int nvmlDeviceGetTotalEnergyConsumption(Device* device, unsigned long long* out) {
  return put_of_whole(device, out, 5'000'250ULL);
}
#endif
SS_NVML int nvmlDeviceGetClockInfo(Device* device, int type, unsigned* out) {
  return put_of_whole(device, out, type == 1 ? 1755U : type == 2 ? 2619U : 1U);
}
SS_NVML int nvmlDeviceGetMaxClockInfo(Device* device, int type, unsigned* out) {
  return put_of_whole(device, out, type == 1 ? 1980U : type == 2 ? 2619U : 1U);
}
SS_NVML int nvmlDeviceGetTemperature(Device* device, int sensor, unsigned* out) {
  return sensor == 0 ? put_of_whole(device, out, 66U) : static_cast<int>(kInvalidArgument);
}
SS_NVML int nvmlDeviceGetCurrentClocksThrottleReasons(Device* device, unsigned long long* out) {
  return put_of_whole(device, out, has("hot") ? 0x64ULL : 0x1ULL);  // 0x1: idle, which is no throttling
}
SS_NVML int nvmlDeviceGetEccMode(Device* device, int* current, int* pending) {
  *pending = 1;
  return put_of_whole(device, current, 1);
}
SS_NVML int nvmlDeviceGetTotalEccErrors(Device* device, int type, int counter, unsigned long long* out) {
  if (counter != 0) return kInvalidArgument;
  return put_of_whole(device, out, type == 0 ? 3ULL : 0ULL);
}

#ifndef SS_FAKE_NVML_OLD
struct GpmSupport {
  unsigned version, supported;
};
struct GpmMetric {
  unsigned id;
  int status;
  double value;
  char *short_name, *long_name, *unit;
};
struct GpmMetricsGet {
  unsigned version, n_metrics;
  unsigned long long *first, *second;
  GpmMetric metrics[333];
};
SS_NVML int nvmlGpmQueryDeviceSupport(Device* device, GpmSupport* out) {
  if (out->version != 1) return 25;  // NVML_ERROR_ARGUMENT_VERSION_MISMATCH
  out->supported = device == &devices[0] ? 1 : 0;
  return kSuccess;
}
SS_NVML int nvmlGpmSampleAlloc(unsigned long long** out) {
  return put(out, new unsigned long long(0));
}
SS_NVML int nvmlGpmSampleFree(unsigned long long* sample) {
  delete sample;
  return kSuccess;
}
SS_NVML int nvmlGpmSampleGet(Device*, unsigned long long* sample) {
  *sample = ++n_samples;
  return kSuccess;
}
SS_NVML int nvmlGpmMetricsGet(GpmMetricsGet* request) {
  // The first sample has to be the older one.
  if (request->version != 1 || request->n_metrics != 1 || *request->first >= *request->second) return kInvalidArgument;
  request->metrics[0].status = request->metrics[0].id == 10 ? kSuccess : kNotSupported;
  request->metrics[0].value = 87.5;
  return kSuccess;
}
#endif
