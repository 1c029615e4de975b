// Tests the reader of AMD SMI with a stand-in library (fake_amd_smi.cpp), which was written from the declarations of
// amdsmi.h, and the choice between AMD SMI and ROCm SMI.

#include "sensors/amd_sensors.h"
#include "support/device_readings.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

const std::vector<std::string> kAmdSmi = {SS_FAKE_AMD_SMI};
const SensorLibraries kBoth = {.amd_smi = kAmdSmi, .rocm_smi = {SS_FAKE_ROCM_6}};
constexpr const char* kPlace = "0000:c1:00.0";
constexpr const char* kOther = "0001:25:01.0";

struct AmdSmiFaults : EnvironmentVariable {
  explicit AmdSmiFaults(const char* faults) : EnvironmentVariable("SS_FAKE_AMD_SMI", faults) {}
};

std::unique_ptr<DeviceSensors> open(const char* place = kPlace) {
  auto sensors = open_amd_smi(place, kAmdSmi);
  REQUIRE_OK(sensors);
  return std::move(sensors).value();
}

}  // namespace

TEST_CASE("every sensor that AMD SMI has is read in its unit") {
  const auto sensors = open();
  (void)sensors->read();
  const auto readings = by_name(sensors->read());
  check_readings(readings, {{"device_utilisation", 0.88},
                            {"device_memory_busy", 0.37},
                            {"device_memory_used_bytes", 50.0 * (1 << 30)},
                            {"process_device_memory_bytes", 2.0 * (1 << 30)},
                            {"device_power_w", 705},
                            {"device_energy_j_max", 122},
                            {"device_clock_hz", 2.1e9},
                            {"device_memory_clock_hz", 1.3e9},
                            {"device_temperature_c", 68},
                            {"device_throttled_power", 0},
                            {"device_throttled_thermal", 0},
                            {"device_throttled_hardware", 0},
                            {"device_ecc_corrected_max", 4},
                            {"device_ecc_uncorrected_max", 2}});
  CHECK(readings.at("device_memory_bandwidth_utilisation").why_not ==
        "not available: AMD's libraries have no counter of the memory's bytes");
}

TEST_CASE("AMD SMI's fingerprint has versions, partition modes, ECC and the power limit") {
  const auto properties = properties_of(*open());
  CHECK(properties.at("amd_smi") == kAmdSmi.front() + ", 26.0.2");
  CHECK(properties.at("driver") == "6.14.14");
  CHECK(properties.at("compute_partition") == "CPX");
  CHECK(properties.at("memory_partition") == "NPS4");
  CHECK(properties.at("ecc") == "on");
  CHECK(properties.at("power_limit") == "1000 W");
  CHECK(properties.at("clock_max") == "2400 MHz");
  CHECK(properties.at("memory_clock_max") == "1300 MHz");
  const auto other = properties_of(*open(kOther));
  CHECK(other.at("ecc") == "off");
  CHECK(other.at("compute_partition") ==
        "not available: amdsmi_get_gpu_compute_partition: AMDSMI_STATUS_NOT_SUPPORTED: This function is not supported "
        "in the current environment.");
}

TEST_CASE("throttling is a share of the firmware's samples since the last reading") {
  const AmdSmiFaults faults("hot");
  const auto sensors = open();
  CHECK(by_name(sensors->read()).at("device_throttled_power").why_not ==
        "not available: the first sample: a rate needs two");
  // In every 1000 samples, the power counter grows by 250 and two temperature counters by 100 and 400.
  check_readings(
      by_name(sensors->read()),
      {{"device_throttled_power", 0.25}, {"device_throttled_thermal", 0.4}, {"device_throttled_hardware", 0}});
}

TEST_CASE("a GPU without those counters is throttled as the driver's bits say") {
  const AmdSmiFaults faults("hot,idle-counters");
  check_readings(by_name(open()->read()),
                 {{"device_throttled_power", 1}, {"device_throttled_thermal", 1}, {"device_throttled_hardware", 0}});
}

TEST_CASE("what AMD SMI's driver does not have says so") {
  const auto other = by_name(open(kOther)->read());
  CHECK(other.at("device_memory_busy").why_not == "not available: amdsmi_get_gpu_activity: the driver has no value");
  CHECK(other.at("device_utilisation").value == Approx(0.88));
  const AmdSmiFaults faults("no-throttle,average-power,ecc-fails,alone");
  const auto readings = by_name(open()->read());
  CHECK(readings.at("device_throttled_thermal").why_not == "not available: this GPU's metrics have no throttle status");
  CHECK(readings.at("device_power_w").value == Approx(298));
  CHECK(readings.at("device_ecc_corrected_max").why_not ==
        "not available: amdsmi_get_gpu_ecc_count: AMDSMI_STATUS_NOT_SUPPORTED: This function is not supported in the "
        "current environment.");
  CHECK(readings.at("process_device_memory_bytes").why_not.starts_with("not available: the driver lists no memory of"));
}

TEST_CASE("readers of AMD SMI come and go without closing it for each other") {
  const auto one = open();
  {
    const auto other = open(kOther);
    CHECK(by_name(other->read()).at("device_clock_hz").value == Approx(2.1e9));
  }
  CHECK(by_name(one->read()).at("device_clock_hz").value == Approx(2.1e9));
}

TEST_CASE("AMD SMI is taken where it is, else ROCm SMI, and the properties say which and why") {
  const auto newer = properties_of(*open_amd_sensors(kPlace, kBoth));
  CHECK(newer.at("amd_smi") == kAmdSmi.front() + ", 26.0.2");
  CHECK(newer.count("rocm_smi") == 0);
  const auto without = [](std::vector<std::string> libraries) {
    return properties_of(*open_amd_sensors(kPlace, {.amd_smi = std::move(libraries), .rocm_smi = {SS_FAKE_ROCM_6}}));
  };
  const auto absent = without({"libamd_smi_absent.so.26"});
  CHECK(absent.at("amd_smi") == "not available: libamd_smi_absent.so.26 not found");
  CHECK(absent.at("rocm_smi") == SS_FAKE_ROCM_6);
  CHECK(absent.at("compute_partition") == "SPX");
  const std::string older = SS_FAKE_AMD_SMI_25;
  CHECK(without({older}).at("amd_smi") ==
        "not available: " + older + " is AMD SMI 25.3: only the structs of 26 are known");
  const AmdSmiFaults faults("no-driver");
  CHECK(without(kAmdSmi).at("amd_smi") ==
        "not available: amdsmi_init: AMDSMI_STATUS_DRIVER_NOT_LOADED: The driver is not loaded.");
}

TEST_CASE("without either library, or without the GPU, every reading says why of both") {
  const auto all_say = [](const std::string& place, const SensorLibraries& libraries, const std::string& why) {
    const auto sensors = open_amd_sensors(place, libraries);
    for (const auto& [name, reading] : by_name(sensors->read())) CHECK(reading.why_not == "not available: " + why);
    CHECK(properties_of(*sensors).at("sensors") == "not available: " + why);
  };
  all_say(kPlace, {.amd_smi = {"libamd_smi_absent.so.26"}, .rocm_smi = {"librocm_smi64_absent.so.7"}},
          "libamd_smi_absent.so.26 not found; librocm_smi64_absent.so.7 not found");
  all_say("0000:ff:00.0", kBoth,
          "amdsmi_get_processor_handle_from_bdf: AMDSMI_STATUS_API_FAILED: The API call has failed.; " +
              kBoth.rocm_smi.front() + " lists no GPU at 0000:ff:00.0");
  all_say("c1", kBoth, "PCI bus id: expected DOMAIN:BUS:DEVICE.FUNCTION, found \"c1\"");
}
