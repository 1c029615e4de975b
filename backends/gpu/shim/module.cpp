// The shim as a backend module, so that every test of a backend can be run on the source of the GPU kernels.

#include "backend/module.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "gpu/host/backend.h"
#include "gpu/kernels/tables.h"
#include "gpu/shim/device.h"

namespace secondsource::gpu::shim {
namespace {

constexpr const char* kName = "gpu-shim";

Result<std::vector<DeviceInfo>> devices() {
  return std::vector<DeviceInfo>{describe(make_shim_device({})->properties(), kName)};
}

template <typename Number>
Result<Number> number_of(const std::string& key, const std::string& value) {
  Number number{};
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error == std::errc() && end == value.data() + value.size()) return number;
  return Error{ErrorCode::kInvalidInput, fmt::format("option {}: expected a number, found {}", key, value)};
}

Result<void> read_option(const std::string& key, const std::string& value, ShimOptions& shim, GpuOptions& gpu) {
  const auto bad = [&](const char* expected) {
    return Error{ErrorCode::kInvalidInput, fmt::format("option {}: expected {}, found {}", key, expected, value)};
  };
  if (key == "target") {
    if (value != "sm_80" && value != "sm_90a" && value != "gfx90a" && value != "gfx942" && value != "gfx1100") {
      return bad("sm_80, sm_90a, gfx90a, gfx942 or gfx1100");
    }
    shim.target = value;
  } else if (key == "order") {
    if (value != "forward" && value != "reverse" && value != "seeded") return bad("forward, reverse or seeded");
    shim.order = value == "forward"   ? ThreadOrder::kForward
                 : value == "reverse" ? ThreadOrder::kReverse
                                      : ThreadOrder::kSeeded;
  } else if (key == "seed") {
    SS_TRY(shim.seed, number_of<std::uint64_t>(key, value));
  } else if (key == "processors") {
    SS_TRY(shim.n_processors, number_of<int>(key, value));
    if (shim.n_processors < 1) return bad("a number from 1 on");
  } else {
    SS_TRY(const bool known, gpu::read_option(key, value, gpu));
    if (known) return {};
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format(
            "option {}: gpu-shim knows target, order, seed, processors, graphs, guards, fuse, dependent_launch, tiles, "
            "attention and matmul",
            key)};
  }
  return {};
}

Result<std::unique_ptr<Backend>> create(const BackendOptions& options) {
  if (!options.device_id.empty() && options.device_id != "0") {
    return Error{ErrorCode::kUnavailable, fmt::format("device {}: expected 0", options.device_id)};
  }
  ShimOptions shim;
  shim.n_threads = std::max(options.n_threads, 1);
  GpuOptions gpu;
  gpu.backend = kName;
  gpu.n_threads = options.n_threads;
  // Smaller than on a GPU: the shim would take hours.
  gpu.rates = {.cached_bytes = {std::size_t{1} << 13},
               .memory_bytes = {std::size_t{1} << 14, std::size_t{1} << 15},
               .pass_bytes = std::size_t{1} << 14,
               .compute_steps = 1,
               .n_passes = 3};
  for (const auto& [key, value] : options.extra) SS_TRY_VOID(read_option(key, value, shim, gpu));
  const auto no_library = [](const std::string&) -> Result<std::shared_ptr<LibraryMatmul>> {
    return Error{ErrorCode::kUnavailable, "gpu-shim has no library of products"};
  };
  SS_TRY_VOID(open_library(gpu, no_library));
  const KernelTable& kernels = shim.target == "sm_90a"    ? shim_sm_90a::kernel_table()
                               : shim.target == "gfx90a"  ? shim_gfx90a::kernel_table()
                               : shim.target == "gfx942"  ? shim_gfx942::kernel_table()
                               : shim.target == "gfx1100" ? shim_gfx1100::kernel_table()
                                                          : shim_sm_80::kernel_table();
  return make_backend(make_shim_device(shim), kernels, std::move(gpu));
}

}  // namespace
}  // namespace secondsource::gpu::shim

SS_BACKEND_MODULE("gpu-shim", "GPU kernels executed on the CPU, to prove them: its speed means nothing",
                  secondsource::gpu::shim::devices, secondsource::gpu::shim::create)
