// The module as the program opens it: its options and devices.

#include "backend/module.h"
#include "unit/vulkan/opened_device.h"

using namespace secondsource;

namespace {

/// The error of a backend that is created with these options.
Error refusal(const BackendOptions& options) {
  const Module module = open_module({.name = "vulkan", .path = SS_VULKAN_MODULE});
  REQUIRE(module.interface != nullptr);
  const auto created = module.interface->create(options);
  REQUIRE_FALSE(created);
  return created.error();
}

}  // namespace

TEST_CASE("options and devices that do not exist are refused by name") {
  if (!vulkan::test::opened_device()) return;
  const Error option = refusal({.device_id = "", .extra = {{"attention", "mma"}}});
  CHECK(option.code == ErrorCode::kInvalidInput);
  CHECK(option.message == "option attention: vulkan knows graphs, guards, fuse, matrices and tiles");
  CHECK(refusal({.device_id = "", .extra = {{"matrices", "f16"}}}).message ==
        "option matrices: expected 0 or 1, found f16");
  CHECK(refusal({.device_id = "", .extra = {{"graphs", "2"}}}).message == "option graphs: expected 0 or 1, found 2");
  const Error tiles = refusal({.device_id = "", .extra = {{"tiles", "wgmma128x128"}}});
  CHECK(tiles.code == ErrorCode::kUnavailable);
  const Error device = refusal({.device_id = "99"});
  CHECK(device.code == ErrorCode::kUnavailable);
  CHECK(device.message.find("device 99: expected 0") == 0);
}
