// Ids of AMD GPUs under HIP_VISIBLE_DEVICES.

#include "hip/device_list.h"

#include "support/catch.h"

using namespace secondsource::hip;

namespace {

std::vector<std::string> ids(std::string_view visible, int n_devices) {
  std::vector<std::string> result;
  for (const VisibleDevice& device : visible_devices(visible, n_devices)) {
    REQUIRE(device.environment.size() == 1);
    CHECK(device.environment.front() == std::pair<std::string, std::string>("HIP_VISIBLE_DEVICES", device.id));
    result.push_back(device.id);
  }
  return result;
}

}  // namespace

TEST_CASE("without HIP_VISIBLE_DEVICES the runtime's numbers are the ids, with it the variable's entries") {
  CHECK(ids("", 3) == std::vector<std::string>{"0", "1", "2"});
  CHECK(ids("2,5", 2) == std::vector<std::string>{"2", "5"});
  // A worker that was started for device 5.
  CHECK(ids("5", 1) == std::vector<std::string>{"5"});
  CHECK(ids("2", 0).empty());
}
