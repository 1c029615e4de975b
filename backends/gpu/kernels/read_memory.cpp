// Reads memory as fast as it comes: eight loads of 16 bytes a thread are under way at once, neighbours side by side.

#include "gpu/kernels/launchers.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/storage.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kAtOnce = 8;

SS_DEVICE std::uint32_t sum_of(const Chunk& chunk) {
  return chunk.word[0] + chunk.word[1] + chunk.word[2] + chunk.word[3];
}

SS_KERNEL(kReadMemoryThreads) read_memory_kernel(ReadMemoryArguments a) {
  const std::int64_t n_readers = std::int64_t{a.n_blocks} * kReadMemoryThreads;
  const std::int64_t reader = std::int64_t{block_x()} * kReadMemoryThreads + thread_x();
  const auto load = [&](std::int64_t unit) { return load_chunk(a.memory + unit * std::int64_t{sizeof(Chunk)}); };
  std::uint32_t sum = 0;
  std::int64_t unit = reader;
  for (; unit + (kAtOnce - 1) * n_readers < a.n_units; unit += kAtOnce * n_readers) {
    Chunk loaded[kAtOnce];
    SS_UNROLL
    for (int i = 0; i < kAtOnce; ++i) loaded[i] = load(unit + i * n_readers);
    SS_UNROLL
    for (int i = 0; i < kAtOnce; ++i) sum += sum_of(loaded[i]);
  }
  for (; unit < a.n_units; unit += n_readers) sum += sum_of(load(unit));
  a.sums[reader] = sum;
}

}  // namespace

Result<void> launch_read_memory(const LaunchContext& context, const ReadMemoryArguments& arguments) {
  return launch(context.stream, "read_memory", read_memory_kernel,
                {.grid = {static_cast<std::uint32_t>(arguments.n_blocks)}, .threads = kReadMemoryThreads}, arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
