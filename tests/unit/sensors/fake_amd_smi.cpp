// A stand-in for libamd_smi: two GPUs. Written from the declarations of amdsmi.h 26.0 (with which 26.5 agrees in
// these), not from the reader under test; units are those of the header's comments. With SS_FAKE_AMD_SMI_25 it reports
// version 25. $SS_FAKE_AMD_SMI holds faults: no-driver (amdsmi_init fails), hot (throttled), ecc-fails, idle-counters (a
// GPU without the firmware's residency counters), no-throttle (without any), average-power (no current socket power),
// alone (the process list has other processes only). The second GPU answers "not supported" where it may.

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>

#define SS_AMDSMI extern "C" __attribute__((visibility("default")))

namespace {

enum amdsmi_status_t {
  AMDSMI_STATUS_SUCCESS = 0,
  AMDSMI_STATUS_INVAL = 1,
  AMDSMI_STATUS_NOT_SUPPORTED = 2,
  AMDSMI_STATUS_API_FAILED = 7,
  AMDSMI_STATUS_OUT_OF_RESOURCES = 15,
  AMDSMI_STATUS_NOT_INIT = 32,
  AMDSMI_STATUS_DRIVER_NOT_LOADED = 34,
  AMDSMI_STATUS_INSUFFICIENT_SIZE = 41,
};
enum { AMDSMI_INIT_AMD_GPUS = 1 << 1 };
enum amdsmi_clk_type_t { AMDSMI_CLK_TYPE_GFX = 0, AMDSMI_CLK_TYPE_MEM = 4 };
enum amdsmi_temperature_type_t { AMDSMI_TEMPERATURE_TYPE_EDGE = 0, AMDSMI_TEMPERATURE_TYPE_JUNCTION = 1 };
enum amdsmi_temperature_metric_t { AMDSMI_TEMP_CURRENT = 0 };
enum amdsmi_memory_type_t { AMDSMI_MEM_TYPE_VRAM = 0 };
enum amdsmi_gpu_block_t : std::uint64_t { AMDSMI_GPU_BLOCK_UMC = 1 };

using amdsmi_processor_handle = void*;

union amdsmi_bdf_t {
  struct {
    std::uint64_t function_number : 3;
    std::uint64_t device_number : 5;
    std::uint64_t bus_number : 8;
    std::uint64_t domain_number : 48;
  } bdf;
  std::uint64_t as_uint;
};
struct amdsmi_version_t {
  std::uint32_t major, minor, release;
  const char* build;
};
struct amdsmi_engine_usage_t {
  std::uint32_t gfx_activity, umc_activity, mm_activity;  // %
  std::uint32_t reserved[13];
};
struct amdsmi_power_info_t {
  std::uint64_t socket_power;                                // W
  std::uint32_t current_socket_power, average_socket_power;  // W
  std::uint64_t gfx_voltage, soc_voltage, mem_voltage;
  std::uint32_t power_limit;
  std::uint64_t reserved[18];
};
struct amdsmi_clk_info_t {
  std::uint32_t clk, min_clk, max_clk;  // MHz
  std::uint8_t clk_locked, clk_deep_sleep;
  std::uint32_t reserved[4];
};
struct amdsmi_power_cap_info_t {
  std::uint64_t power_cap, default_power_cap, dpm_cap, min_power_cap, max_power_cap;  // uW
  std::uint64_t reserved[3];
};
struct amdsmi_driver_info_t {
  char driver_version[256], driver_date[256], driver_name[256];
};
struct amdsmi_error_count_t {
  std::uint64_t correctable_count, uncorrectable_count, deferred_count;
  std::uint64_t reserved[5];
};
struct amdsmi_proc_info_t {
  char name[256];
  std::uint32_t pid;
  std::uint64_t mem;
  struct {
    std::uint64_t gfx, enc;
    std::uint32_t reserved[12];
  } engine_usage;
  struct {
    std::uint64_t gtt_mem, cpu_mem, vram_mem;  // bytes
    std::uint32_t reserved[10];
  } memory_usage;
  char container_name[256];
  std::uint32_t cu_occupancy;
  std::uint32_t reserved[11];
};
struct amdsmi_gpu_xcp_metrics_t {
  std::uint64_t words[63];
};
struct amdsmi_gpu_metrics_t {
  struct {
    std::uint16_t structure_size;
    std::uint8_t format_revision, content_revision;
  } common_header;
  std::uint16_t temperature_edge, temperature_hotspot, temperature_mem, temperature_vrgfx, temperature_vrsoc,
      temperature_vrmem;
  std::uint16_t average_gfx_activity, average_umc_activity, average_mm_activity;
  std::uint16_t average_socket_power;
  std::uint64_t energy_accumulator;
  std::uint64_t system_clock_counter;
  std::uint16_t average_gfxclk_frequency, average_socclk_frequency, average_uclk_frequency, average_vclk0_frequency,
      average_dclk0_frequency, average_vclk1_frequency, average_dclk1_frequency;
  std::uint16_t current_gfxclk, current_socclk, current_uclk, current_vclk0, current_dclk0, current_vclk1,
      current_dclk1;
  std::uint32_t throttle_status;
  std::uint16_t current_fan_speed;
  std::uint16_t pcie_link_width, pcie_link_speed;
  std::uint32_t gfx_activity_acc, mem_activity_acc;
  std::uint16_t temperature_hbm[4];
  std::uint64_t firmware_timestamp;
  std::uint16_t voltage_soc, voltage_gfx, voltage_mem;
  std::uint64_t indep_throttle_status;
  std::uint16_t current_socket_power;
  std::uint16_t vcn_activity[4];
  std::uint32_t gfxclk_lock_status;
  std::uint16_t xgmi_link_width, xgmi_link_speed;
  std::uint64_t pcie_bandwidth_acc, pcie_bandwidth_inst, pcie_l0_to_recov_count_acc, pcie_replay_count_acc,
      pcie_replay_rover_count_acc;
  std::uint64_t xgmi_read_data_acc[8], xgmi_write_data_acc[8];
  std::uint16_t current_gfxclks[8], current_socclks[4], current_vclk0s[4], current_dclk0s[4];
  std::uint16_t jpeg_activity[32];
  std::uint32_t pcie_nak_sent_count_acc, pcie_nak_rcvd_count_acc;
  std::uint64_t accumulation_counter;
  std::uint64_t prochot_residency_acc, ppt_residency_acc, socket_thm_residency_acc, vr_thm_residency_acc,
      hbm_thm_residency_acc;
  std::uint16_t num_partition;
  amdsmi_gpu_xcp_metrics_t xcp_stats[8];
  std::uint32_t pcie_lc_perf_other_end_recovery;
  std::uint64_t vram_max_bandwidth;
  std::uint16_t xgmi_link_status[8];
};
static_assert(sizeof(amdsmi_gpu_metrics_t) == 4544);  // as in AMD's own Python binding of 26.0.2 (PyPI: amdsmi 7.0.2)

constexpr std::uint64_t kNoCount = std::numeric_limits<std::uint64_t>::max();
int gpus[2];
bool is_open = false;
std::uint64_t n_samples = 0;

bool has(const char* fault) {
  const char* const set = std::getenv("SS_FAKE_AMD_SMI");
  return set != nullptr && (std::string(",") + set + ",").find(std::string(",") + fault + ",") != std::string::npos;
}

template <typename T>
amdsmi_status_t put(amdsmi_processor_handle gpu, T* out, const T& value) {
  if (!is_open) return AMDSMI_STATUS_NOT_INIT;
  if ((gpu != &gpus[0] && gpu != &gpus[1]) || out == nullptr) return AMDSMI_STATUS_INVAL;
  *out = value;
  return AMDSMI_STATUS_SUCCESS;
}

amdsmi_status_t put_text(amdsmi_processor_handle gpu, const char* text, char* out, std::uint32_t length) {
  if (gpu == &gpus[1]) return AMDSMI_STATUS_NOT_SUPPORTED;
  if (std::strlen(text) + 1 > length) return AMDSMI_STATUS_INSUFFICIENT_SIZE;
  std::strcpy(out, text);
  return AMDSMI_STATUS_SUCCESS;
}

}  // namespace

SS_AMDSMI int amdsmi_init(std::uint64_t flags) {
  if (flags != AMDSMI_INIT_AMD_GPUS) return AMDSMI_STATUS_INVAL;
  if (has("no-driver")) return AMDSMI_STATUS_DRIVER_NOT_LOADED;
  is_open = true;  // a second call is not counted
  return AMDSMI_STATUS_SUCCESS;
}
SS_AMDSMI int amdsmi_shut_down() {
  is_open = false;
  return AMDSMI_STATUS_SUCCESS;
}
SS_AMDSMI int amdsmi_status_code_to_string(int status, const char** text) {
  switch (status) {
    case AMDSMI_STATUS_NOT_SUPPORTED:
      *text = "AMDSMI_STATUS_NOT_SUPPORTED: This function is not supported in the current environment.";
      break;
    case AMDSMI_STATUS_DRIVER_NOT_LOADED:
      *text = "AMDSMI_STATUS_DRIVER_NOT_LOADED: The driver is not loaded.";
      break;
    case AMDSMI_STATUS_API_FAILED:
      *text = "AMDSMI_STATUS_API_FAILED: The API call has failed.";
      break;
    default:
      *text = "AMDSMI_STATUS_UNKNOWN_ERROR: An unknown error occurred.";
  }
  return AMDSMI_STATUS_SUCCESS;
}
SS_AMDSMI int amdsmi_get_lib_version(amdsmi_version_t* out) {
#ifdef SS_FAKE_AMD_SMI_25
  *out = {25, 3, 0, "build"};
#else
  *out = {26, 0, 2, "build"};
#endif
  return AMDSMI_STATUS_SUCCESS;
}
SS_AMDSMI int amdsmi_get_processor_handle_from_bdf(amdsmi_bdf_t place, amdsmi_processor_handle* out) {
  if (!is_open) return AMDSMI_STATUS_NOT_INIT;
  // 0000:c1:00.0 and 0001:25:01.0
  for (int index = 0; index < 2; ++index) {
    if (place.bdf.domain_number == (index == 0 ? 0 : 1) && place.bdf.bus_number == (index == 0 ? 0xc1 : 0x25) &&
        place.bdf.device_number == (index == 0 ? 0 : 1) && place.bdf.function_number == 0) {
      *out = &gpus[index];
      return AMDSMI_STATUS_SUCCESS;
    }
  }
  return AMDSMI_STATUS_API_FAILED;
}
SS_AMDSMI int amdsmi_get_gpu_activity(amdsmi_processor_handle gpu, amdsmi_engine_usage_t* out) {
  // The driver of the second GPU does not know how busy its memory is.
  return put(gpu, out,
             {.gfx_activity = 88, .umc_activity = gpu == &gpus[1] ? 0xffffU : 37, .mm_activity = 0, .reserved = {}});
}
SS_AMDSMI int amdsmi_get_gpu_memory_usage(amdsmi_processor_handle gpu, amdsmi_memory_type_t type, std::uint64_t* out) {
  if (type != AMDSMI_MEM_TYPE_VRAM) return AMDSMI_STATUS_INVAL;
  return put(gpu, out, std::uint64_t{50} << 30);
}
SS_AMDSMI int amdsmi_get_gpu_process_list(amdsmi_processor_handle gpu, std::uint32_t* count, amdsmi_proc_info_t* out) {
  if (gpu != &gpus[0]) return AMDSMI_STATUS_NOT_SUPPORTED;
  const std::uint32_t n_processes = has("alone") ? 1 : 2;
  if (*count < n_processes) return AMDSMI_STATUS_OUT_OF_RESOURCES;
  *count = n_processes;
  out[0] = {};
  out[0].pid = 1;
  out[0].memory_usage.vram_mem = 111;
  if (n_processes == 1) return AMDSMI_STATUS_SUCCESS;
  out[1] = {};
  out[1].pid = static_cast<std::uint32_t>(getpid());
  out[1].mem = 7;
  out[1].memory_usage = {.gtt_mem = 5, .cpu_mem = 6, .vram_mem = std::uint64_t{2} << 30, .reserved = {}};
  std::strcpy(out[1].container_name, "container");
  return AMDSMI_STATUS_SUCCESS;
}
SS_AMDSMI int amdsmi_get_power_info(amdsmi_processor_handle gpu, amdsmi_power_info_t* out) {
  amdsmi_power_info_t answer{};
  answer.current_socket_power = has("average-power") ? 0xffffffffU : 705;
  answer.average_socket_power = has("average-power") ? 298 : 0xffff;
  answer.socket_power = 1;
  return put(gpu, out, answer);
}
SS_AMDSMI int amdsmi_get_power_cap_info(amdsmi_processor_handle gpu, std::uint32_t sensor,
                                        amdsmi_power_cap_info_t* out) {
  if (sensor != 0) return AMDSMI_STATUS_INVAL;
  amdsmi_power_cap_info_t answer{};
  answer.power_cap = 1'000'000'000;
  answer.max_power_cap = 1'400'000'000;
  return put(gpu, out, answer);
}
SS_AMDSMI int amdsmi_get_energy_count(amdsmi_processor_handle gpu, std::uint64_t* accumulator, float* resolution,
                                      std::uint64_t* timestamp) {
  *resolution = 15.25F;  // uJ
  *timestamp = 1;
  return put(gpu, accumulator, std::uint64_t{8'000'000});
}
SS_AMDSMI int amdsmi_get_clock_info(amdsmi_processor_handle gpu, amdsmi_clk_type_t type, amdsmi_clk_info_t* out) {
  if (type != AMDSMI_CLK_TYPE_GFX && type != AMDSMI_CLK_TYPE_MEM) return AMDSMI_STATUS_NOT_SUPPORTED;
  amdsmi_clk_info_t answer{};
  answer.clk = type == AMDSMI_CLK_TYPE_GFX ? 2100 : 1300;
  answer.min_clk = 132;
  answer.max_clk = type == AMDSMI_CLK_TYPE_GFX ? 2400 : 1300;
  return put(gpu, out, answer);
}
SS_AMDSMI int amdsmi_get_temp_metric(amdsmi_processor_handle gpu, amdsmi_temperature_type_t sensor,
                                     amdsmi_temperature_metric_t metric, std::int64_t* out) {
  if (sensor != AMDSMI_TEMPERATURE_TYPE_JUNCTION || metric != AMDSMI_TEMP_CURRENT) return AMDSMI_STATUS_NOT_SUPPORTED;
  return put(gpu, out, std::int64_t{68});  // Celsius
}
SS_AMDSMI int amdsmi_get_gpu_metrics_info(amdsmi_processor_handle gpu, amdsmi_gpu_metrics_t* out) {
  amdsmi_gpu_metrics_t answer;
  std::memset(&answer, 0xff, sizeof answer);  // missing values are all ones
  ++n_samples;
  if (has("idle-counters")) {
    // Power limit 0 and the temperature of the memory.
    answer.indep_throttle_status = has("hot") ? (std::uint64_t{1} << 34) | 1 : 0;
  } else if (!has("no-throttle")) {
    answer.accumulation_counter = 1000 * n_samples;
    answer.prochot_residency_acc = 17;
    answer.ppt_residency_acc = (has("hot") ? 250 : 0) * n_samples;
    answer.socket_thm_residency_acc = (has("hot") ? 100 : 0) * n_samples;
    answer.vr_thm_residency_acc = kNoCount;
    answer.hbm_thm_residency_acc = (has("hot") ? 400 : 0) * n_samples;
  }
  return put(gpu, out, answer);
}
SS_AMDSMI int amdsmi_get_gpu_driver_info(amdsmi_processor_handle gpu, amdsmi_driver_info_t* out) {
  amdsmi_driver_info_t answer{};
  std::strcpy(answer.driver_version, "6.14.14");
  std::strcpy(answer.driver_date, "2015/01/01 00:00");
  std::strcpy(answer.driver_name, "amdgpu");
  return put(gpu, out, answer);
}
SS_AMDSMI int amdsmi_get_gpu_ecc_enabled(amdsmi_processor_handle gpu, std::uint64_t* blocks) {
  return put(gpu, blocks, std::uint64_t{gpu == &gpus[0] ? 5U : 4U});
}
SS_AMDSMI int amdsmi_get_gpu_ecc_count(amdsmi_processor_handle gpu, amdsmi_gpu_block_t block,
                                       amdsmi_error_count_t* out) {
  if (block != AMDSMI_GPU_BLOCK_UMC || has("ecc-fails")) return AMDSMI_STATUS_NOT_SUPPORTED;
  amdsmi_error_count_t answer{};
  answer.correctable_count = 4;
  answer.uncorrectable_count = 2;
  answer.deferred_count = 9;
  return put(gpu, out, answer);
}
SS_AMDSMI int amdsmi_get_gpu_compute_partition(amdsmi_processor_handle gpu, char* out, std::uint32_t length) {
  return put_text(gpu, "CPX", out, length);
}
SS_AMDSMI int amdsmi_get_gpu_memory_partition(amdsmi_processor_handle gpu, char* out, std::uint32_t length) {
  return put_text(gpu, "NPS4", out, length);
}
