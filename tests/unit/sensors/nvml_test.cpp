// The reader of NVIDIA's sensors against a stand-in library (fake_nvml.cpp), which was written from the API reference.

#include "sensors/nvml.h"

#include "support/device_readings.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

constexpr const char* kFull = SS_FAKE_NVML;
constexpr const char* kOld = SS_FAKE_NVML_OLD;

struct NvmlFaults : EnvironmentVariable {
  explicit NvmlFaults(const char* faults) : EnvironmentVariable("SS_FAKE_NVML", faults) {}
};

}  // namespace

TEST_CASE("every sensor of a whole GPU is read in its unit") {
  const auto sensors = open_nvml_sensors("GPU-0000", kFull);
  const auto first = by_name(sensors->read());
  CHECK(first.at("device_memory_bandwidth_utilisation").why_not == "not available: the first sample: a rate needs two");
  const auto second = by_name(sensors->read());
  check_readings(second, {{"device_utilisation", 0.97},
                          {"device_memory_busy", 0.61},
                          {"device_memory_bandwidth_utilisation", 0.875},
                          {"device_memory_used_bytes", 30.0 * (1 << 30)},
                          {"process_device_memory_bytes", 512.0 * (1 << 20)},
                          {"device_power_w", 432.1},
                          {"device_energy_j_max", 5000.25},
                          {"device_clock_hz", 1.755e9},
                          {"device_memory_clock_hz", 2.619e9},
                          {"device_temperature_c", 66},
                          {"device_throttled_power", 0},
                          {"device_throttled_thermal", 0},
                          {"device_throttled_hardware", 0},
                          {"device_ecc_corrected_max", 3},
                          {"device_ecc_uncorrected_max", 0}});
  CHECK(by_name(sensors->read()).at("device_memory_bandwidth_utilisation").value == Approx(0.875));
}

TEST_CASE("the fingerprint has what does not change while a run lasts") {
  const auto properties = properties_of(*open_nvml_sensors("GPU-0000", kFull));
  CHECK(properties.at("driver") == "580.65.06");
  CHECK(properties.at("driver_cuda") == "13.0");
  CHECK(properties.at("nvml") == "13.580.65.06");
  CHECK(properties.at("mig") == "not available: nvmlDeviceGetMigMode: Not Supported");
  CHECK(properties.at("ecc") == "on");
  CHECK(properties.at("power_limit") == "700 W");
  CHECK(properties.at("clock_max") == "1980 MHz");
  CHECK(properties.at("memory_clock_max") == "2619 MHz");
  CHECK(properties_of(*open_nvml_sensors("GPU-1111", kFull)).at("mig") == "off");
}

TEST_CASE("throttling is told apart by its reason") {
  const NvmlFaults faults("hot");
  const auto readings = by_name(open_nvml_sensors("GPU-0000", kFull)->read());
  CHECK(readings.at("device_throttled_power").value == 1.0);
  CHECK(readings.at("device_throttled_thermal").value == 1.0);
  CHECK(readings.at("device_throttled_hardware").value == 0.0);
}

TEST_CASE("what a library lacks or refuses says why, and the rest is read") {
  SECTION("an old driver without an energy counter") {
    const auto readings = by_name(open_nvml_sensors("GPU-0000", kOld)->read());
    CHECK_FALSE(readings.at("device_energy_j_max").value);
    CHECK(readings.at("device_energy_j_max").why_not ==
          std::string("not available: ") + kOld + " has no nvmlDeviceGetTotalEnergyConsumption");
    CHECK(readings.at("device_memory_bandwidth_utilisation").why_not ==
          std::string("not available: ") + kOld + " has no nvmlGpmQueryDeviceSupport");
    CHECK(readings.at("device_power_w").value == Approx(432.1));
  }
  SECTION("a call that fails") {
    const NvmlFaults faults("power-fails");
    const auto readings = by_name(open_nvml_sensors("GPU-0000", kFull)->read());
    CHECK(readings.at("device_power_w").why_not == "not available: nvmlDeviceGetPowerUsage: Unknown Error");
    CHECK(readings.at("device_energy_j_max").value);
  }
  SECTION("a process that the driver does not list") {
    const NvmlFaults faults("alone");
    const auto readings = by_name(open_nvml_sensors("GPU-0000", kFull)->read());
    CHECK(readings.at("process_device_memory_bytes").why_not.find("lists no memory of process") != std::string::npos);
  }
  SECTION("a GPU without a performance monitor") {
    const auto readings = by_name(open_nvml_sensors("GPU-1111", kFull)->read());
    CHECK(readings.at("device_memory_bandwidth_utilisation").why_not ==
          "not available: this GPU has no performance monitor (GPM)");
  }
}

TEST_CASE("without a library, a driver or the device every reading says why") {
  const auto all_say = [](const std::string& uuid, const std::string& library, const std::string& why) {
    const auto sensors = open_nvml_sensors(uuid, library);
    for (const auto& [name, reading] : by_name(sensors->read())) CHECK(reading.why_not == "not available: " + why);
    CHECK(properties_of(*sensors).at("sensors") == "not available: " + why);
  };
  all_say("GPU-0000", "libnvidia-ml-that-is-not-there.so.1", "libnvidia-ml-that-is-not-there.so.1 not found");
  all_say("GPU-9999", kFull, "nvmlDeviceGetHandleByUUID: Not Found");
  const NvmlFaults faults("no-driver");
  all_say("GPU-0000", kFull, "nvmlInit_v2: Driver Not Loaded");
  CHECK_ERROR(Nvml::open(kFull), ErrorCode::kUnavailable, "nvmlInit_v2: Driver Not Loaded");
}

TEST_CASE("GPUs are listed, with the instances of one whose MIG mode is on") {
  const auto uuids = [] {
    std::vector<std::string> result;
    auto nvml = Nvml::open(kFull);
    REQUIRE_OK(nvml);
    const auto devices = (*nvml)->devices();
    REQUIRE_OK(devices);
    for (const NvmlDevice& device : *devices) {
      result.push_back(device.uuid + (device.has_instances ? " (parted)" : "") +
                       (device.parent.empty() ? "" : " of " + device.parent));
    }
    return result;
  };
  CHECK(uuids() == std::vector<std::string>{"GPU-0000", "GPU-1111"});
  const NvmlFaults faults("mig");
  CHECK(uuids() ==
        std::vector<std::string>{"GPU-0000", "GPU-1111 (parted)", "MIG-aaaa of GPU-1111", "MIG-bbbb of GPU-1111"});
}

TEST_CASE("a MIG instance has memory of its own, and the whole GPU's power") {
  const NvmlFaults faults("mig");
  const auto sensors = open_nvml_sensors("MIG-aaaa", kFull);
  const auto readings = by_name(sensors->read());
  CHECK(readings.at("device_memory_used_bytes").value == Approx(1.0 * (1 << 30)));
  CHECK(readings.at("device_power_w").value == Approx(432.1));
  CHECK(readings.at("device_utilisation").why_not == "not available: nvmlDeviceGetUtilizationRates: Not Supported");
  CHECK(readings.at("device_memory_bandwidth_utilisation").why_not.find("MIG instance") != std::string::npos);
  CHECK(properties_of(*sensors).at("mig") ==
        "instance NVIDIA Stand-In 80GB MIG 1g.10gb; power, clocks and utilisation are the whole GPU's");
}

TEST_CASE("the library is closed as often as it is opened") {
  const auto n_open = [] {
    const auto library = SharedLibrary::open({kFull});
    REQUIRE_OK(library);
    return reinterpret_cast<int (*)()>(library->find("fake_nvml_n_open"))();
  };
  const int before = n_open();
  {
    const auto one = open_nvml_sensors("GPU-0000", kFull);
    const auto other = open_nvml_sensors("GPU-9999", kFull);
    CHECK(n_open() == before + 1);
  }
  CHECK(n_open() == before);
}
