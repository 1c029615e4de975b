// Tests which drivers can run the CUDA version that the module was built with.

#include "cuda/driver.h"

#include "support/catch.h"
#include "support/result.h"

using secondsource::ErrorCode;
using secondsource::cuda::check_driver;

TEST_CASE("a driver runs the runtimes of its own major version and older ones") {
  REQUIRE_OK(check_driver(12080, {SS_FAKE_DRIVER}));
  REQUIRE_OK(check_driver(12090, {SS_FAKE_DRIVER}));  // a newer minor version
  REQUIRE_OK(check_driver(11080, {SS_FAKE_DRIVER}));
}

TEST_CASE("a driver that is too old is named with what it runs and what was built") {
  CHECK_ERROR(check_driver(13000, {SS_FAKE_DRIVER}), ErrorCode::kUnavailable,
              "the driver runs CUDA up to 12.8, and this module was built with CUDA 13.0: expected a newer driver");
}

TEST_CASE("no driver, and one that cannot say its version, are unavailable") {
  CHECK_ERROR(check_driver(13000, {"libno-such-driver.so.1"}), ErrorCode::kUnavailable,
              "libno-such-driver.so.1 not found: no NVIDIA driver");
  CHECK_ERROR(check_driver(13000, {SS_FAKE_DRIVER_BROKEN}), ErrorCode::kUnavailable, "cuDriverGetVersion");
}
