// Which GPUs and MIG instances are offered, and how a worker gets one of them.

#include "cuda/device_list.h"

#include "support/catch.h"

using namespace secondsource;
using namespace secondsource::cuda;

namespace {

NvmlDevice whole(const std::string& uuid, bool has_instances = false) {
  NvmlDevice device;
  device.uuid = uuid;
  device.has_instances = has_instances;
  return device;
}

NvmlDevice instance(const std::string& uuid, const std::string& parent) {
  NvmlDevice device = whole(uuid);
  device.parent = parent;
  return device;
}

const std::vector<NvmlDevice> kAll = {whole("GPU-a-1"), whole("GPU-b-2", true), instance("MIG-c-3", "GPU-b-2"),
                                      instance("MIG-d-4", "GPU-b-2"), whole("GPU-e-5")};

std::vector<std::string> ids(const std::vector<OfferedDevice>& offered) {
  std::vector<std::string> result;
  for (const OfferedDevice& one : offered) {
    REQUIRE(one.environment.size() == 1);
    CHECK(one.environment.front().first == "CUDA_VISIBLE_DEVICES");
    result.push_back(one.id + "=" + one.environment.front().second);
  }
  return result;
}

}  // namespace

TEST_CASE("a GPU in MIG mode is offered as its instances, and the others keep their index") {
  CHECK(ids(offered_devices(kAll, std::nullopt)) ==
        std::vector<std::string>{"0=GPU-a-1", "MIG-c-3=MIG-c-3", "MIG-d-4=MIG-d-4", "2=GPU-e-5"});
}

TEST_CASE("what CUDA_VISIBLE_DEVICES hides is not offered, and ids stay what they are without it") {
  // A worker sees only one device, under the id that the run gave it.
  CHECK(ids(offered_devices(kAll, std::vector<std::string>{"GPU-e-5"})) == std::vector<std::string>{"2=GPU-e-5"});
  // The CUDA runtime prefixes the UUID of a MIG instance with GPU-.
  CHECK(ids(offered_devices(kAll, std::vector<std::string>{"GPU-d-4"})) == std::vector<std::string>{"MIG-d-4=MIG-d-4"});
  CHECK(ids(offered_devices(kAll, std::vector<std::string>{})).empty());
}

TEST_CASE("a module of chosen targets says for which GPUs it has no code") {
  // CUDA C++ Programming Guide, "Binary Compatibility": code for X.y runs on X.z from y on; "Feature Set Compiler Targets":
  // code for 9.0a runs on 9.0 alone.
  const auto [built, target, runs] = GENERATE(table<const char*, const char*, bool>({{"", "sm_80", true},
                                                                                     {"", "sm_120", true},
                                                                                     {"80", "sm_80", true},
                                                                                     {"80", "sm_86", true},
                                                                                     {"89", "sm_86", false},
                                                                                     {"80", "sm_90", false},
                                                                                     {"90a", "sm_90", true},
                                                                                     {"100a", "sm_103", false},
                                                                                     {"80 90a", "sm_90", true},
                                                                                     {"80 90a", "sm_100", false},
                                                                                     {"90a", "", true}}));
  CAPTURE(built, target);
  CHECK(why_no_code("GPU", target, 80, built).empty() == runs);
  CHECK(why_no_code("NVIDIA T4", "sm_75", 80, built) == "NVIDIA T4 is sm_75: expected sm_80 or newer");
}

TEST_CASE("the reason names the device and the targets") {
  CHECK(why_no_code("NVIDIA A100", "sm_80", 80, "90a") ==
        "NVIDIA A100 is sm_80: this module was built for the targets 90a alone (SECONDSOURCE_CUDA_TARGETS)");
}
