#include "gpu/host/read_rate.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

namespace secondsource::gpu {
namespace {

constexpr std::uint8_t kByte = 0x5a;  // content of the buffers, by which a pass is checked
constexpr int kPasses = 10;
constexpr std::array<std::int32_t, 3> kBlocksPerProcessor = {2, 4, 8};  // 8 blocks are all 2048 threads of a processor

/// Duration of the fastest pass in nanoseconds.
Result<std::int64_t> fastest_pass(DeviceMemory& memory, const KernelTable& kernels,
                                  const ReadMemoryArguments& arguments) {
  Device& device = memory.device();
  Stream& stream = memory.stream();
  SS_TRY(const std::unique_ptr<Event> begin, device.create_event());
  SS_TRY(const std::unique_ptr<Event> end, device.create_event());
  std::int64_t fastest = std::numeric_limits<std::int64_t>::max();
  for (int pass = 0; pass < kPasses; ++pass) {
    SS_TRY_VOID(stream.record(*begin));
    SS_TRY_VOID(kernels.read_memory({stream, device.properties().warp_size}, arguments));
    SS_TRY_VOID(stream.record(*end));
    SS_TRY_VOID(stream.synchronize());
    SS_TRY(const std::int64_t ns, device.elapsed_ns(*begin, *end));
    fastest = std::min(fastest, std::max<std::int64_t>(ns, 1));
  }
  return fastest;
}

/// Checks that the threads' sums add up to that of `bytes` bytes of kByte.
Result<void> check_sums(DeviceMemory& memory, const DeviceBuffer& sums, std::size_t bytes) {
  std::vector<std::uint32_t> found(sums.size_bytes() / sizeof(std::uint32_t));
  SS_TRY_VOID(memory.download(found.data(), sums.data(), sums.size_bytes()));
  const std::uint32_t total = std::accumulate(found.begin(), found.end(), std::uint32_t{0});
  const auto expected = static_cast<std::uint32_t>(bytes / sizeof(std::uint32_t)) * (kByte * 0x01010101U);
  if (total == expected) return {};
  return Error{
      ErrorCode::kInternal,
      fmt::format("read rate: expected a sum of {:#x}, found {:#x}: not every byte was read once", expected, total)};
}

}  // namespace

Result<double> best_read_rate(DeviceMemory& memory, const KernelTable& kernels, std::span<const std::size_t> sizes) {
  double best = 0.0;
  for (const std::size_t bytes : sizes) {
    auto buffer = memory.allocate(MemoryPurpose::kWorkspace, bytes);
    if (!buffer && buffer.error().code == ErrorCode::kOutOfMemory && best > 0.0) break;
    if (!buffer) return buffer.error().with_context("read rate");
    SS_TRY_VOID(memory.stream().fill(buffer->data(), kByte, bytes));
    for (const std::int32_t blocks : kBlocksPerProcessor) {
      const std::int32_t n_blocks = blocks * memory.device().properties().n_processors;
      const auto n_sums = static_cast<std::size_t>(n_blocks) * kReadMemoryThreads;
      SS_TRY(const DeviceBuffer sums, memory.allocate(MemoryPurpose::kWorkspace, n_sums * sizeof(std::uint32_t)));
      SS_TRY(const std::int64_t ns, fastest_pass(memory, kernels,
                                                 {.memory = buffer->data(),
                                                  .sums = sums.as<std::uint32_t>(),
                                                  .n_vecs = static_cast<std::int64_t>(bytes / 16),
                                                  .n_blocks = n_blocks}));
      SS_TRY_VOID(check_sums(memory, sums, bytes));
      best = std::max(best, 1e9 * static_cast<double>(bytes) / static_cast<double>(ns));
    }
  }
  return best;
}

}  // namespace secondsource::gpu
