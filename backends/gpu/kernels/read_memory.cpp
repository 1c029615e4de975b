// Reads memory, or a cache, as fast as the device delivers it, to measure the bandwidth that decode is compared with.
//
//   sums[thread] = sum of the 32-bit words that the thread read in n_passes, modulo 2^32
//
// Shapes       memory: n_vecs vectors of 16 bytes; sums: [n_blocks * kReadMemoryThreads]
// Dtypes       uint32
// Accumulator  uint32, wrapping; the sums show that every byte was read
// Aliasing     none
// Alignment    memory to 16 bytes
// Source       own; a grid-stride loop with eight 16-byte loads per thread in flight, neighbouring threads side by side. In
//              each pass a block reads what its neighbour read in the last one, so that from 1 MiB on it does not hit the
//              processors' own caches, which would be empty for a kernel of another step

#include "gpu/kernels/launchers.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/storage.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

constexpr int kLoadsInFlight = 8;

SS_DEVICE std::uint32_t sum_of(const Chunk& chunk) {
  return chunk.word[0] + chunk.word[1] + chunk.word[2] + chunk.word[3];
}

SS_KERNEL(kReadMemoryThreads) read_memory_kernel(ReadMemoryArguments a) {
  wait_for_earlier_kernels();
  const std::int64_t n_readers = std::int64_t{a.n_blocks} * kReadMemoryThreads;
  const auto load = [&](std::int64_t vec) { return load_chunk(a.memory + vec * std::int64_t{sizeof(Chunk)}); };
  std::uint32_t sum = 0;
  int block = block_x();
  for (int pass = 0; pass < a.n_passes; ++pass) {
    std::int64_t vec = std::int64_t{block} * kReadMemoryThreads + thread_x();
    for (; vec + (kLoadsInFlight - 1) * n_readers < a.n_vecs; vec += kLoadsInFlight * n_readers) {
      Chunk loaded[kLoadsInFlight];
      SS_UNROLL
      for (int i = 0; i < kLoadsInFlight; ++i) loaded[i] = load(vec + i * n_readers);
      SS_UNROLL
      for (int i = 0; i < kLoadsInFlight; ++i) sum += sum_of(loaded[i]);
    }
    for (; vec < a.n_vecs; vec += n_readers) sum += sum_of(load(vec));
    block = block + 1 < a.n_blocks ? block + 1 : 0;
  }
  a.sums[std::int64_t{block_x()} * kReadMemoryThreads + thread_x()] = sum;
}

}  // namespace

Result<void> launch_read_memory(const LaunchContext& context, const ReadMemoryArguments& arguments) {
  return launch(context.stream, "read_memory", read_memory_kernel,
                {.grid = {static_cast<std::uint32_t>(arguments.n_blocks)}, .threads = kReadMemoryThreads}, arguments);
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
