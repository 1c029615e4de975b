// The reader of ROCm SMI against stand-in libraries (fake_rocm_smi.cpp), which were written from the declarations
// of two versions of rocm_smi.h.

#include "sensors/rocm_smi.h"

#include "core/shared_library.h"
#include "support/device_readings.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

const std::vector<std::string> kRocm6 = {SS_FAKE_ROCM_6};
const std::vector<std::string> kRocm5 = {SS_FAKE_ROCM_5};
constexpr const char* kRocmPlace = "0000:c1:00.0";

/// ROCm SMI's sensors on a machine without AMD SMI, or the reason why there are none.
std::unique_ptr<DeviceSensors> open_rocm(const std::string& place, const std::vector<std::string>& libraries) {
  auto sensors = open_rocm_smi(place, libraries, "not asked for");
  return sensors ? std::move(sensors).value() : absent_sensors(sensors.error().message);
}

struct RocmFaults : EnvironmentVariable {
  explicit RocmFaults(const char* faults) : EnvironmentVariable("SS_FAKE_ROCM_SMI", faults) {}
};

}  // namespace

TEST_CASE("every sensor of an AMD GPU is read in its unit") {
  const auto readings = by_name(open_rocm(kRocmPlace, kRocm6)->read());
  check_readings(readings, {{"device_utilisation", 0.91},
                            {"device_memory_busy", 0.44},
                            {"device_memory_used_bytes", 40.0 * (1 << 30)},
                            {"process_device_memory_bytes", 3.0 * (1 << 30)},
                            {"device_power_w", 612.5},
                            {"device_energy_j_max", 61},
                            {"device_clock_hz", 2.1e9},
                            {"device_memory_clock_hz", 1.3e9},
                            {"device_temperature_c", 71.5},
                            {"device_throttled_power", 0},
                            {"device_throttled_thermal", 0},
                            {"device_throttled_hardware", 0},
                            {"device_ecc_corrected_max", 5},
                            {"device_ecc_uncorrected_max", 1}});
  CHECK(readings.at("device_memory_bandwidth_utilisation").why_not ==
        "not available: AMD's libraries have no counter of the memory's bytes");
}

TEST_CASE("the library of ROCm 5 has another frequency list and fewer functions") {
  const auto readings = by_name(open_rocm(kRocmPlace, kRocm5)->read());
  check_readings(readings, {{"device_clock_hz", 2.1e9},
                            {"device_memory_clock_hz", 1.3e9},
                            {"device_power_w", 310},
                            {"device_ecc_corrected_max", 5}});
  CHECK(readings.at("device_throttled_power").why_not ==
        "not available: " + kRocm5.front() + " has no rsmi_dev_metrics_indep_throttle_status_get");
}

TEST_CASE("AMD's fingerprint has versions, partition modes, ECC and the power limit") {
  const auto properties = properties_of(*open_rocm(kRocmPlace, kRocm6));
  CHECK(properties.at("driver") == "6.10.5");
  CHECK(properties.at("compute_partition") == "SPX");
  CHECK(properties.at("memory_partition") == "NPS1");
  CHECK(properties.at("ecc") == "on");
  CHECK(properties.at("power_limit") == "750 W");
  CHECK(properties.at("clock_max") == "2100 MHz");
  CHECK(properties.at("memory_clock_max") == "1300 MHz");
  CHECK(properties_of(*open_rocm("0001:25:01.0", kRocm6)).at("compute_partition") == "DPX");
  CHECK(properties_of(*open_rocm(kRocmPlace, kRocm5)).at("compute_partition") ==
        "not available: " + kRocm5.front() + " has no rsmi_dev_compute_partition_get");
}

TEST_CASE("AMD's throttling is told apart by its reason") {
  const RocmFaults faults("hot");
  check_readings(by_name(open_rocm(kRocmPlace, kRocm6)->read()),
                 {{"device_throttled_power", 1}, {"device_throttled_thermal", 1}, {"device_throttled_hardware", 0}});
}

TEST_CASE("one call of ROCm SMI that fails says why, and the rest is read") {
  const RocmFaults faults("ecc-fails");
  const auto readings = by_name(open_rocm(kRocmPlace, kRocm6)->read());
  CHECK(
      readings.at("device_ecc_corrected_max").why_not ==
      "not available: rsmi_dev_ecc_count_get: RSMI_STATUS_NOT_SUPPORTED: This function is not supported in the current "
      "environment.");
  CHECK(readings.at("device_power_w").value == Approx(612.5));
}

TEST_CASE("without ROCm SMI, its devices or the GPU every reading says why") {
  const auto all_say = [](const std::string& place, const std::vector<std::string>& libraries, const std::string& why) {
    const auto sensors = open_rocm(place, libraries);
    for (const auto& [name, reading] : by_name(sensors->read())) CHECK(reading.why_not == "not available: " + why);
    CHECK(properties_of(*sensors).at("sensors") == "not available: " + why);
  };
  all_say(kRocmPlace, {"librocm_smi64_absent.so.7", "librocm_smi64_absent.so.6"},
          "librocm_smi64_absent.so.7 not found");
  all_say("0000:ff:00.0", kRocm6, kRocm6.front() + " lists no GPU at 0000:ff:00.0");
  all_say("c1", kRocm6, "PCI bus id: expected DOMAIN:BUS:DEVICE.FUNCTION, found \"c1\"");
  const RocmFaults faults("no-devices");
  all_say(kRocmPlace, kRocm6, "rsmi_init: RSMI_STATUS_INIT_ERROR: An error occurred during initialization");
}

TEST_CASE("an older name of a library is found where the newer is absent") {
  CHECK(by_name(open_rocm(kRocmPlace, {"librocm_smi64_absent.so.7", kRocm5.front()})->read())
            .at("device_power_w")
            .value == Approx(310));
}

TEST_CASE("ROCm SMI is closed as often as it is opened") {
  const auto library = SharedLibrary::open(kRocm6);
  REQUIRE_OK(library);
  const auto n_open = reinterpret_cast<int (*)()>(library->find("fake_rocm_smi_n_open"));
  {
    const auto one = open_rocm(kRocmPlace, kRocm6);
    const auto other = open_rocm("0000:ff:00.0", kRocm6);
    CHECK(n_open() == 1);
  }
  CHECK(n_open() == 0);
}
