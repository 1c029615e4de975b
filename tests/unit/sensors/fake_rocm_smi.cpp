// A stand-in for librocm_smi64: two GPUs, the second in partitions. Written from the declarations of rocm_smi.h, not
// from the reader under test. With SS_FAKE_ROCM_5 it lacks the newer functions and has the older frequency list.
// $SS_FAKE_ROCM_SMI holds faults: no-devices (rsmi_init fails), hot (throttled), ecc-fails.

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#define SS_RSMI extern "C" __attribute__((visibility("default")))

namespace {

enum Status { kSuccess = 0, kInvalidArguments = 1, kNotSupported = 2, kInitError = 8, kNotFound = 10, kTooSmall = 11 };
constexpr std::uint32_t kDevices = 3;  // a whole GPU, two partitions of another
int n_open = 0;

bool has(const char* fault) {
  const char* const set = std::getenv("SS_FAKE_ROCM_SMI");
  return set != nullptr && std::string(set).find(fault) != std::string::npos;
}

template <typename T>
int put(std::uint32_t device, T* out, T value) {
  if (n_open <= 0) return kInitError;
  if (device >= kDevices || out == nullptr) return kInvalidArguments;
  *out = value;
  return kSuccess;
}

[[maybe_unused]] int put_text(const char* text, char* out, std::uint32_t length) {
  if (std::strlen(text) + 1 > length) return kTooSmall;
  std::strcpy(out, text);
  return kSuccess;
}

#ifdef SS_FAKE_ROCM_5
struct Frequencies {
  std::uint32_t num_supported;
  std::uint32_t current;
  std::uint64_t frequency[32];
};
#else
struct Frequencies {
  bool has_deep_sleep;
  std::uint32_t num_supported;
  std::uint32_t current;
  std::uint64_t frequency[33];
};
#endif

}  // namespace

SS_RSMI int fake_rocm_smi_n_open() {
  return n_open;
}

SS_RSMI int rsmi_init(std::uint64_t flags) {
  if (flags != 0) return kInvalidArguments;
  if (has("no-devices")) return kInitError;
  ++n_open;
  return kSuccess;
}
SS_RSMI int rsmi_shut_down() {
  --n_open;
  return kSuccess;
}
SS_RSMI int rsmi_status_string(int status, const char** text) {
  *text = status == kInitError ? "RSMI_STATUS_INIT_ERROR: An error occurred during initialization"
          : status == kNotSupported
              ? "RSMI_STATUS_NOT_SUPPORTED: This function is not supported in the current environment."
              : "RSMI_STATUS_UNKNOWN_ERROR: An unknown error prevented the call";
  return kSuccess;
}
SS_RSMI int rsmi_version_str_get(int component, char* out, std::uint32_t length) {
  return component == 0 ? put_text("6.10.5", out, length) : static_cast<int>(kInvalidArguments);
}
SS_RSMI int rsmi_num_monitor_devices(std::uint32_t* out) {
  return put(0, out, kDevices);
}
SS_RSMI int rsmi_dev_pci_id_get(std::uint32_t device, std::uint64_t* out) {
  constexpr std::uint64_t kFirst = 0xc100, kSecond = (1ULL << 32) | 0x2508;  // 0000:c1:00.0 and 0001:25:01.0
  const std::uint64_t partition = device == 2 ? 1ULL << 28 : 0;
  return put(device, out, device == 0 ? kFirst : kSecond | partition);
}
SS_RSMI int rsmi_dev_busy_percent_get(std::uint32_t device, std::uint32_t* out) {
  return put(device, out, 91U);
}
SS_RSMI int rsmi_dev_memory_busy_percent_get(std::uint32_t device, std::uint32_t* out) {
  return put(device, out, 44U);
}
SS_RSMI int rsmi_dev_memory_usage_get(std::uint32_t device, int type, std::uint64_t* out) {
  return type == 0 ? put(device, out, std::uint64_t{40} << 30) : static_cast<int>(kInvalidArguments);
}
struct ProcessInfo {
  std::uint32_t process_id, pasid;
  std::uint64_t vram_usage, sdma_usage;
  std::uint32_t cu_occupancy;
};
SS_RSMI int rsmi_compute_process_info_by_pid_get(std::uint32_t pid, ProcessInfo* out) {
  if (pid != static_cast<std::uint32_t>(getpid())) return kNotFound;
  *out = {pid, 7, std::uint64_t{3} << 30, 0, 0};
  return kSuccess;
}
SS_RSMI int rsmi_dev_power_cap_get(std::uint32_t device, std::uint32_t sensor, std::uint64_t* out) {
  return sensor == 0 ? put(device, out, std::uint64_t{750'000'000}) : static_cast<int>(kInvalidArguments);
}
SS_RSMI int rsmi_dev_energy_count_get(std::uint32_t device, std::uint64_t* count, float* resolution,
                                      std::uint64_t* timestamp) {
  *resolution = 15.25F;
  *timestamp = 1;
  return put(device, count, std::uint64_t{4'000'000});
}
SS_RSMI int rsmi_dev_gpu_clk_freq_get(std::uint32_t device, int type, Frequencies* out) {
  if (type != 0 && type != 4) return kNotSupported;
  Frequencies answer{};
  // The memory has a single level, the case in which the two layouts are hardest to distinguish.
  answer.num_supported = type == 0 ? 3 : 1;
  answer.current = type == 0 ? 2 : 0;
  const std::uint64_t levels[3] = {500'000'000, 1'300'000'000, 2'100'000'000};
  for (int level = 0; level < 3; ++level) answer.frequency[level] = type == 0 ? levels[level] : 1'300'000'000;
  return put(device, out, answer);
}
SS_RSMI int rsmi_dev_temp_metric_get(std::uint32_t device, std::uint32_t sensor, int metric, std::int64_t* out) {
  return sensor == 1 && metric == 0 ? put(device, out, std::int64_t{71'500}) : static_cast<int>(kNotSupported);
}
SS_RSMI int rsmi_dev_ecc_enabled_get(std::uint32_t device, std::uint64_t* out) {
  return put(device, out, std::uint64_t{1});
}

#ifdef SS_FAKE_ROCM_5
struct ErrorCount {
  std::uint64_t correctable, uncorrectable;
};
SS_RSMI int rsmi_dev_power_ave_get(std::uint32_t device, std::uint32_t sensor, std::uint64_t* out) {
  return sensor == 0 ? put(device, out, std::uint64_t{310'000'000}) : static_cast<int>(kInvalidArguments);
}
#else
struct ErrorCount {
  std::uint64_t correctable, uncorrectable, deferred;
};
SS_RSMI int rsmi_dev_power_ave_get(std::uint32_t, std::uint32_t, std::uint64_t*) {
  return kNotSupported;
}
SS_RSMI int rsmi_dev_current_socket_power_get(std::uint32_t device, std::uint64_t* out) {
  return put(device, out, std::uint64_t{612'500'000});
}
SS_RSMI int rsmi_dev_metrics_indep_throttle_status_get(std::uint32_t device, std::uint64_t* out) {
  // Power limit 0 and the temperature of the memory.
  return put(device, out, has("hot") ? (std::uint64_t{1} << 34) | 1 : std::uint64_t{0});
}
SS_RSMI int rsmi_dev_compute_partition_get(std::uint32_t device, char* out, std::uint32_t length) {
  return put_text(device == 0 ? "SPX" : "DPX", out, length);
}
SS_RSMI int rsmi_dev_memory_partition_get(std::uint32_t, char* out, std::uint32_t length) {
  return put_text("NPS1", out, length);
}
#endif

SS_RSMI int rsmi_dev_ecc_count_get(std::uint32_t device, std::uint64_t block, ErrorCount* out) {
  if (block != 1 || has("ecc-fails")) return kNotSupported;
  ErrorCount answer{};
  answer.correctable = 5;
  answer.uncorrectable = 1;
  return put(device, out, answer);
}
