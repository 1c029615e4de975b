// The programs gpu_under_address and gpu_under_thread. With --cases N, each runs N conformance cases of every family on the shim, which
// is built with a sanitizer, and cycles through the three thread orders. Values are not checked here, because the suite does that. With
// --plant and one of missing-barrier, missing-warp-barrier and past-the-end, a kernel with that mistake runs instead, to verify that
// the sanitizer reports it.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "backend/module.h"
#include "conformance/cases.h"
#include "conformance/run_case.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/target.h"
#include "gpu/portable/warp.h"
#include "gpu/shim/device.h"

extern "C" const secondsource::ModuleInterface* secondsource_backend_module();

namespace secondsource {
namespace {

constexpr int kThreads = 64;

struct Arguments {
  float* out;
};

SS_KERNEL(kThreads) missing_barrier_kernel(Arguments a) {
  gpu::wait_for_earlier_kernels();
  auto& row = gpu::shared_memory<std::array<float, kThreads>>();
  const auto i = static_cast<std::size_t>(gpu::thread_x());
  row[i] = static_cast<float>(i);
  a.out[i] = row[kThreads - 1 - i];
}

/// A shuffle does not order memory accesses of different lanes, so the write and the read of `row` are a data race.
SS_KERNEL(kThreads) missing_warp_barrier_kernel(Arguments a) {
  gpu::wait_for_earlier_kernels();
  auto& row = gpu::shared_memory<std::array<float, kThreads>>();
  const auto i = static_cast<std::size_t>(gpu::thread_x());
  row[i] = static_cast<float>(i);
  const float other = gpu::shuffle_xor(row[i], 1);
  a.out[i] = row[i ^ 1U] - other;
}

SS_KERNEL(kThreads) past_the_end_kernel(Arguments a) {
  gpu::wait_for_earlier_kernels();
  auto& row = gpu::shared_memory<std::array<float, kThreads>>();
  a.out[gpu::thread_x()] = (&row[0])[gpu::thread_x() + 1];
}

int run_planted(const char* what) {
  const auto device = gpu::shim::make_shim_device({.target = SS_TESTED_TARGET});
  const auto stream = device->create_stream().value();
  auto* const out = static_cast<float*>(device->allocate(kThreads * sizeof(float)).value());
  const std::string_view name = what;
  const auto kernel = name == "missing-barrier"        ? missing_barrier_kernel
                      : name == "missing-warp-barrier" ? missing_warp_barrier_kernel
                                                       : past_the_end_kernel;
  const gpu::LaunchShape shape{.grid = {}, .threads = kThreads, .shared_bytes = kThreads * sizeof(float)};
  const bool ran = launch(*stream, what, kernel, shape, Arguments{out}) && stream->synchronize();
  device->free(out);
  return ran ? 0 : 1;
}

/// Families of operations that the GPU backends refuse by name (docs/backends.md).
constexpr std::array<std::string_view, 2> kRefusedFamilies = {"matmul_int4_w8a8", "grouped_matmul_int4_w8a8"};

int run_cases(int n_cases) {
  constexpr std::array kOrders = {"forward", "reverse", "seeded"};
  constexpr int kTriesPerCase = 8;
  std::size_t n_run = 0;
  int n_failed = 0;
  for (const conformance::Family& family : conformance::families()) {
    int n_of_family = 0;
    // If the kernels refuse a case's weights, the next seed is used. A family without a usable seed fails.
    for (int seed = 0; n_of_family < n_cases && seed < kTriesPerCase * n_cases; ++seed) {
      const char* const order = kOrders[n_run % kOrders.size()];
      auto backend = secondsource_backend_module()->create(
          {.device_id = "", .extra = {{"target", SS_TESTED_TARGET}, {"order", order}, {"guards", "1"}}});
      const conformance::Case c = family.make(static_cast<std::uint64_t>(seed));
      if (conformance::why_unsupported(**backend, c)) continue;
      const auto trace = conformance::run_case(**backend, c);
      // Some combinations of operations and weights are refused only by compile().
      if (!trace && trace.error().code == ErrorCode::kUnsupported) continue;
      ++n_run;
      ++n_of_family;
      if (trace) continue;
      ++n_failed;
      fmt::print("{} seed {} in {} order: {}\n", family.name, seed, order, trace.error().message);
    }
    const bool is_refused = std::ranges::find(kRefusedFamilies, family.name) != kRefusedFamilies.end();
    const int n_expected = is_refused ? 0 : n_cases;
    if (n_of_family == n_expected) continue;
    ++n_failed;
    fmt::print("{}: expected {} cases that the kernels take, found {}\n", family.name, n_expected, n_of_family);
  }
  fmt::print("{} cases, {} failed\n", n_run, n_failed);
  return n_failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace secondsource

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--plant") == 0) return secondsource::run_planted(argv[2]);
  if (argc == 3 && std::strcmp(argv[1], "--cases") == 0) return secondsource::run_cases(std::atoi(argv[2]));
  fmt::print(stderr, "usage: {} --cases N | --plant missing-barrier|missing-warp-barrier|past-the-end\n", argv[0]);
  return 2;
}
