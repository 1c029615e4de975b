// Tests on the shim that the kernels which measure a device's peak rates read every byte and compute every product as often as
// they should. Times measured on the shim mean nothing.

#include "gpu/host/device_rates.h"

#include <numeric>

#include "gpu/kernels/tables.h"
#include "gpu/shim/device.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::gpu;

namespace {

std::unique_ptr<DeviceMemory> shim_memory(const std::string& target) {
  return std::move(DeviceMemory::create(shim::make_shim_device({.target = target}))).value();
}

}  // namespace

TEST_CASE("each pass adds up each word once, with every number of units a thread") {
  const auto memory = shim_memory("sm_80");
  constexpr std::int32_t kBlocks = 2;
  constexpr std::int64_t kReaders = std::int64_t{kBlocks} * kReadMemoryThreads;
  for (const std::int64_t n_vecs :
       {std::int64_t{1}, kReaders - 1, kReaders, 8 * kReaders - 1, 8 * kReaders, 19 * kReaders + 5}) {
    CAPTURE(n_vecs);
    std::vector<std::uint32_t> words(static_cast<std::size_t>(4 * n_vecs));
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = static_cast<std::uint32_t>(i * i + 1);
    auto buffer = std::move(memory->allocate(MemoryPurpose::kWorkspace, words.size() * 4)).value();
    auto sums = std::move(memory->allocate(MemoryPurpose::kWorkspace, kReaders * 4)).value();
    REQUIRE_OK(memory->upload(buffer.data(), words.data(), words.size() * 4));
    REQUIRE_OK(shim_sm_80::kernel_table().read_memory({memory->stream(), 32}, {.memory = buffer.data(),
                                                                               .sums = sums.as<std::uint32_t>(),
                                                                               .n_vecs = n_vecs,
                                                                               .n_blocks = kBlocks,
                                                                               .n_passes = 3}));
    std::vector<std::uint32_t> found(static_cast<std::size_t>(kReaders));
    REQUIRE_OK(memory->download(found.data(), sums.data(), found.size() * 4));
    CHECK(std::accumulate(found.begin(), found.end(), std::uint32_t{0}) ==
          3 * std::accumulate(words.begin(), words.end(), std::uint32_t{0}));
  }
}

namespace {

const KernelTable& table_of(const std::string& target) {
  return target == "sm_80"    ? shim_sm_80::kernel_table()
         : target == "sm_90a" ? shim_sm_90a::kernel_table()
         : target == "gfx90a" ? shim_gfx90a::kernel_table()
         : target == "gfx942" ? shim_gfx942::kernel_table()
                              : shim_gfx1100::kernel_table();
}

RateExtents small_extents() {
  return {.cached_bytes = {4096},
          .memory_bytes = {16384 + 16, 65536},
          .pass_bytes = 10000,
          .compute_steps = 2,
          .n_passes = 2};
}

}  // namespace

TEST_CASE("the rates are found on every kind of target, and leave nothing allocated or counted") {
  for (const std::string target : {"sm_80", "sm_90a", "gfx90a", "gfx942", "gfx1100"}) {
    CAPTURE(target);
    const auto memory = shim_memory(target);
    const auto rates = measure_device_rates(*memory, table_of(target), small_extents(), RateEffort::kAll);
    REQUIRE_OK(rates);
    CHECK(rates->n_processors == 2);
    CHECK(rates->loops == target);
    REQUIRE(rates->reads.size() == 2);
    CHECK(rates->reads[0].buffer_bytes == 4096);
    CHECK(rates->reads[1].buffer_bytes == 16384 + 16);
    CHECK(rates->reads[0].bytes_per_s > 0);
    CHECK(rates->reads[1].bytes_per_s > 0);
    CHECK(rates->f32_flops > 0);
    CHECK(rates->bf16_flops.value_or(0) > 0);
    CHECK(rates->int8_ops.value_or(0) > 0);
    CHECK(rates->unmeasured.empty());
    CHECK(memory->account().use().workspace_bytes == 0);
    CHECK(memory->account().use().peak_bytes == 0);
  }
}

TEST_CASE("a moment is the last of the read rates and the f32 rate") {
  const auto memory = shim_memory("sm_80");
  const auto rates = measure_device_rates(*memory, table_of("sm_80"), small_extents(), RateEffort::kMoment);
  REQUIRE_OK(rates);
  REQUIRE(rates->reads.size() == 1);
  CHECK(rates->reads[0].buffer_bytes == 16384 + 16);
  CHECK(rates->f32_flops > 0);
  CHECK_FALSE(rates->bf16_flops);
}

TEST_CASE("a pass that reads less than all of it is no rate, nor is one that multiplies less") {
  const auto memory = shim_memory("sm_80");
  KernelTable kernels = shim_sm_80::kernel_table();
  kernels.read_memory = [](const LaunchContext& context, const ReadMemoryArguments& arguments) {
    ReadMemoryArguments less = arguments;
    --less.n_vecs;
    return shim_sm_80::kernel_table().read_memory(context, less);
  };
  CHECK_ERROR(measure_device_rates(*memory, kernels, small_extents(), RateEffort::kAll), ErrorCode::kInternal,
              "not every byte was read once");
  kernels = shim_sm_80::kernel_table();
  kernels.compute = [](const LaunchContext& context, const ComputeArguments& arguments) {
    ComputeArguments less = arguments;
    --less.n_steps;
    return shim_sm_80::kernel_table().compute(context, less);
  };
  CHECK_ERROR(measure_device_rates(*memory, kernels, small_extents(), RateEffort::kAll), ErrorCode::kInternal,
              "not every product was made once");
}

TEST_CASE("the peak of matrix units that the kernels do not use is not known") {
  const auto of = [](const char* target, bool has_warpgroups) {
    DeviceProperties properties;
    properties.target = target;
    properties.has_warpgroups = has_warpgroups;
    return unmeasured_units(properties);
  };
  CHECK(of("sm_80", false).empty());
  CHECK(of("sm_90", true).empty());
  CHECK(of("gfx942", false).empty());
  CHECK(of("sm_100", false) == "the matrix units of sm_100");
  CHECK(of("gfx950", false) == "the matrix units of gfx950");
}
