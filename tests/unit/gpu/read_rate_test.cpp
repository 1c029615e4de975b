// The kernel that measures read bandwidth, on the shim: every byte is read once for all extents. Its time there means
// nothing.

#include "gpu/host/read_rate.h"

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

TEST_CASE("a pass adds up each word once, with every number of units a thread") {
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
    REQUIRE_OK(shim_sm_80::kernel_table().read_memory(
        {memory->stream(), 32},
        {.memory = buffer.data(), .sums = sums.as<std::uint32_t>(), .n_vecs = n_vecs, .n_blocks = kBlocks}));
    std::vector<std::uint32_t> found(static_cast<std::size_t>(kReaders));
    REQUIRE_OK(memory->download(found.data(), sums.data(), found.size() * 4));
    CHECK(std::accumulate(found.begin(), found.end(), std::uint32_t{0}) ==
          std::accumulate(words.begin(), words.end(), std::uint32_t{0}));
  }
}

TEST_CASE("the read rate is found on every kind of target, and leaves nothing allocated") {
  for (const std::string target : {"sm_80", "gfx90a", "gfx1100"}) {
    CAPTURE(target);
    const auto memory = shim_memory(target);
    const KernelTable& kernels = target == "sm_80"    ? shim_sm_80::kernel_table()
                                 : target == "gfx90a" ? shim_gfx90a::kernel_table()
                                                      : shim_gfx1100::kernel_table();
    const std::array<std::size_t, 2> sizes = {4096, 65536 + 16};
    const auto rate = best_read_rate(*memory, kernels, sizes);
    REQUIRE_OK(rate);
    CHECK(*rate > 0.0);
    CHECK(memory->account().use().workspace_bytes == 0);
  }
}

TEST_CASE("a pass that reads less than all of it is no rate") {
  const auto memory = shim_memory("sm_80");
  KernelTable kernels = shim_sm_80::kernel_table();
  kernels.read_memory = [](const LaunchContext& context, const ReadMemoryArguments& arguments) {
    ReadMemoryArguments less = arguments;
    --less.n_vecs;
    return shim_sm_80::kernel_table().read_memory(context, less);
  };
  const std::array<std::size_t, 1> sizes = {4096};
  CHECK_ERROR(best_read_rate(*memory, kernels, sizes), ErrorCode::kInternal, "not every byte was read once");
}
