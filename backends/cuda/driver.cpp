#include "cuda/driver.h"

#include <fmt/format.h>

#include "core/shared_library.h"

namespace secondsource::cuda {
namespace {

constexpr CFunction<int*> kDriverVersion{"cuDriverGetVersion"};  // works without cuInit, which needs a device

}  // namespace

Result<void> check_driver(int runtime_version, const std::vector<std::string>& names) {
  const auto driver = SharedLibrary::open(names);
  if (!driver) return Error{ErrorCode::kUnavailable, driver.error().message + ": no NVIDIA driver"};
  SS_TRY(const int version, driver->get<int>(kDriverVersion));
  if (version / 1000 >= runtime_version / 1000) return {};
  return Error{
      ErrorCode::kUnavailable,
      fmt::format("the driver runs CUDA up to {}.{}, and this module was built with CUDA {}.{}: expected a newer "
                  "driver, or a build with the driver's CUDA",
                  version / 1000, version % 1000 / 10, runtime_version / 1000, runtime_version % 1000 / 10)};
}

}  // namespace secondsource::cuda
