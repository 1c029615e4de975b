// Tests the list of this machine's GPUs with stand-ins for the vendors' libraries and with a folder like that of the amdgpu driver.

#include "sensors/local_gpus.h"

#include <fstream>

#include "support/device_readings.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

/// A machine with the stand-ins for the vendors' libraries and, in `folder`, the GPUs of the amdgpu driver.
GpuPlaces places_in(const std::filesystem::path& folder, const char* nvml = SS_FAKE_NVML) {
  return {.nvml = nvml, .amd = {.amd_smi = {SS_FAKE_AMD_SMI}, .rocm_smi = {}}, .amd_driver = folder};
}

}  // namespace

TEST_CASE("GPUs of both vendors are listed, of a partitioned one its instances") {
  const ScratchFolder driver;
  for (const char* name : {"0000:c1:00.0", "0000:05:00.0"}) std::filesystem::create_directory(driver.path() / name);
  for (const char* name : {"bind", "module", "new_id"}) std::ofstream(driver.path() / name);
  const auto whole = local_gpus(places_in(driver.path()));
  REQUIRE_OK(whole);
  CHECK(*whole == std::vector<GpuId>{"GPU-0000", "GPU-1111", "0000:05:00.0", "0000:c1:00.0"});
  const EnvironmentVariable partitioned("SS_FAKE_NVML", "mig");
  const auto parts = local_gpus(places_in(driver.path()));
  REQUIRE_OK(parts);
  CHECK(*parts == std::vector<GpuId>{"GPU-0000", "MIG-aaaa", "MIG-bbbb", "0000:05:00.0", "0000:c1:00.0"});
}

TEST_CASE("without NVIDIA's driver the GPUs of AMD are listed") {
  const ScratchFolder driver;
  std::filesystem::create_directory(driver.path() / "0000:c1:00.0");
  const auto found = local_gpus(places_in(driver.path(), "libsecondsource-no-such-library.so"));
  REQUIRE_OK(found);
  CHECK(*found == std::vector<GpuId>{"0000:c1:00.0"});
}

TEST_CASE("a machine without GPUs says what was looked for") {
  const ScratchFolder scratch;
  const std::filesystem::path nowhere = scratch.path() / "amdgpu";
  const auto found = local_gpus(places_in(nowhere, "libsecondsource-no-such-library.so"));
  CHECK_ERROR(found, ErrorCode::kUnavailable, "no GPU whose sensors can be read");
  for (const std::string& part : {std::string("libsecondsource-no-such-library.so"), nowhere.string()}) {
    CHECK_ERROR(found, ErrorCode::kUnavailable, part);
  }
}

TEST_CASE("the id decides which vendor's library reads the sensors") {
  const ScratchFolder driver;
  const GpuPlaces places = places_in(driver.path());
  CHECK(by_name(open_gpu_sensors("GPU-1111", places)->read()).at("device_power_w").value == Approx(432.1));
  CHECK(by_name(open_gpu_sensors("0000:c1:00.0", places)->read()).at("device_power_w").value == Approx(705));
  const auto unknown = by_name(open_gpu_sensors("GPU-9999", places)->read()).at("device_power_w");
  CHECK_FALSE(unknown.value);
  CHECK(unknown.why_not.find("Not Found") != std::string::npos);
}
