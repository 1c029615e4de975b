// The shim detects mistakes that a GPU does not report: small kernels with one mistake each.

#include <array>
#include <vector>

#include "gpu/kernels/kernels.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/matrix_tile.h"
#include "gpu/portable/shared_copy.h"
#include "gpu/portable/warp.h"
#include "gpu/shim/device.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::gpu {
namespace {

constexpr int kThreads = 128;

/// Device memory that can be filled from the host and read back.
template <typename T>
class Buffer {
 public:
  Buffer(Device& device, const std::vector<T>& content)
      : device_(device), n_(content.size()), data_(static_cast<T*>(device.allocate(n_ * sizeof(T)).value())) {
    std::copy(content.begin(), content.end(), data_);
  }
  ~Buffer() { device_.free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* data() { return data_; }
  std::vector<T> content() { return {data_, data_ + n_}; }

 private:
  Device& device_;
  std::size_t n_;
  T* data_;
};

struct Arguments {
  const float* in;
  float* out;
};

/// out[i] = in[n - 1 - i], through shared memory.
template <bool kBarrier>
SS_KERNEL(kThreads)
reverse_kernel(Arguments a) {
  wait_for_earlier_kernels();
  auto& row = shared_memory<std::array<float, kThreads>>();
  row[static_cast<std::size_t>(thread_x())] = a.in[thread_x()];
  if constexpr (kBarrier) sync_block();
  a.out[thread_x()] = row[static_cast<std::size_t>(kThreads - 1 - thread_x())];
}

SS_KERNEL(kThreads) divergent_barrier_kernel(Arguments a) {
  wait_for_earlier_kernels();
  if (thread_x() < 64) {
    sync_block();
  } else {
    sync_block();
  }
  a.out[thread_x()] = a.in[thread_x()];
}

SS_KERNEL(kThreads) early_return_kernel(Arguments a) {
  wait_for_earlier_kernels();
  if (thread_x() == 5) return;
  sync_block();
  a.out[thread_x()] = a.in[thread_x()];
}

SS_KERNEL(kThreads) never_waiting_kernel(Arguments a) {
  if (thread_x() == 7) return;
  wait_for_earlier_kernels();
  a.out[thread_x()] = a.in[thread_x()];
}

SS_KERNEL(kThreads) divergent_shuffle_kernel(Arguments a) {
  wait_for_earlier_kernels();
  if (lane() < 16) a.out[thread_x()] = sum_lanes(a.in[thread_x()]);
}

template <bool kWait>
SS_KERNEL(kThreads)
copy_kernel(Arguments a) {
  wait_for_earlier_kernels();
  auto& row = shared_memory<std::array<float, 4 * kThreads>>();
  copy_to_shared(&row[static_cast<std::size_t>(4 * thread_x())], a.in, true);
  commit_copies();
  if constexpr (kWait) wait_for_copies<0>();
  a.out[thread_x()] = row[static_cast<std::size_t>(4 * thread_x())];
  if constexpr (!kWait) wait_for_copies<0>();
}

SS_KERNEL(kThreads) misaligned_kernel(Arguments a) {
  wait_for_earlier_kernels();
  a.out[thread_x()] = bits_as<float>(load_chunk(a.in + 1).word[0]);
}

/// Row addresses for ldmatrix: off by one value, or not in shared memory.
template <bool kInShared>
SS_KERNEL(kThreads)
matrix_rows_kernel(Arguments a) {
  wait_for_earlier_kernels();
  auto& tile = shared_memory<std::array<Bf16, 17 * 8>>();
  const Bf16* const rows = kInShared ? tile.data() + 1 : reinterpret_cast<const Bf16*>(a.in);
  a.out[thread_x()] = widen(load_matrices<false>(rows + lane() % 8 * 8).value[0]);
}

const LaunchShape kOneBlock{.grid = {}, .threads = kThreads, .shared_bytes = 4 * kThreads * sizeof(float)};

std::vector<float> ramp() {
  std::vector<float> values(kThreads);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return values;
}

/// A kernel's output for ramp() as input.
Result<std::vector<float>> run_kernel(void (*kernel)(Arguments), const shim::ShimOptions& options) {
  const auto device = shim::make_shim_device(options);
  const auto stream = device->create_stream().value();
  Buffer<float> in(*device, ramp());
  Buffer<float> out(*device, std::vector<float>(kThreads, 0.0F));
  SS_TRY_VOID(launch(*stream, "test", kernel, kOneBlock, Arguments{in.data(), out.data()}));
  SS_TRY_VOID(stream->synchronize());
  return out.content();
}

const std::array kOrders = {shim::ThreadOrder::kForward, shim::ThreadOrder::kReverse, shim::ThreadOrder::kSeeded};

TEST_CASE("a kernel with a barrier gives the same in every order of threads") {
  std::vector<float> expected = ramp();
  std::reverse(expected.begin(), expected.end());
  for (const shim::ThreadOrder order : kOrders) {
    const auto found = run_kernel(reverse_kernel<true>, {.order = order});
    REQUIRE_OK(found);
    CHECK(*found == expected);
  }
}

TEST_CASE("a missing barrier gives NaN in every order of threads") {
  for (const shim::ThreadOrder order : kOrders) {
    const auto found = run_kernel(reverse_kernel<false>, {.order = order});
    REQUIRE_OK(found);
    CHECK(std::any_of(found->begin(), found->end(), [](float value) { return std::isnan(value); }));
  }
}

TEST_CASE("a barrier that not all threads reach, or at two places, is an error that says where") {
  CHECK_ERROR(run_kernel(divergent_barrier_kernel, {}), ErrorCode::kDeviceLost,
              "divergent barrier: thread 0 waits at shim_test");
  CHECK_ERROR(run_kernel(early_return_kernel, {}), ErrorCode::kDeviceLost, "1 thread has ended");
  CHECK_ERROR(run_kernel(divergent_shuffle_kernel, {}), ErrorCode::kDeviceLost, "lanes of their warp that never come");
}

TEST_CASE("a thread that ends before it has waited for earlier kernels is an error") {
  CHECK_ERROR(run_kernel(never_waiting_kernel, {}), ErrorCode::kDeviceLost,
              "thread 7: a thread ends without waiting for earlier kernels");
}

TEST_CASE("an asynchronous copy lands when the thread waits, and not before") {
  const auto waited = run_kernel(copy_kernel<true>, {});
  REQUIRE_OK(waited);
  CHECK(*waited == std::vector<float>(kThreads, 0.0F));
  const auto early = run_kernel(copy_kernel<false>, {});
  REQUIRE_OK(early);
  CHECK(std::isnan(early->front()));
}

TEST_CASE("a vector load from an address that is no multiple of its size is an error") {
  CHECK_ERROR(run_kernel(misaligned_kernel, {}), ErrorCode::kDeviceLost, "16 bytes");
}

/// Each thread reads 16 bytes, by an asynchronous copy or by a load.
template <bool kByCopy>
SS_KERNEL(kThreads)
vector_load_kernel(Arguments a) {
  wait_for_earlier_kernels();
  auto& row = shared_memory<std::array<float, 4 * kThreads>>();
  float* const place = &row[static_cast<std::size_t>(4 * thread_x())];
  const float* const from = a.in + 4 * thread_x();
  if constexpr (kByCopy) {
    copy_to_shared(place, from, true);
    commit_copies();
    wait_for_copies<0>();
  } else {
    store_chunk(place, load_chunk(from));
  }
  a.out[thread_x()] = *place;
}

TEST_CASE("memory that nobody wrote is not copied to the host, not loaded by a kernel and not read by a library") {
  const auto device = shim::make_shim_device({});
  // An error stays in its stream.
  const auto new_stream = [&] { return device->create_stream().value(); };
  constexpr std::size_t kFloats = 4 * kThreads;
  constexpr std::size_t kBytes = kFloats * sizeof(float);
  auto* const memory = static_cast<float*>(device->allocate(kBytes).value());
  auto* const out = static_cast<float*>(device->allocate(kBytes).value());
  auto* const host = device->allocate_pinned(kBytes).value();

  const auto copied = new_stream();
  REQUIRE_OK(copied->fill(memory, 0, kBytes - sizeof(float)));
  REQUIRE_OK(copied->copy(host, memory, kBytes - sizeof(float)));
  REQUIRE_OK(copied->copy(out, memory, kBytes));  // stays on the device
  REQUIRE_OK(copied->synchronize());
  REQUIRE_OK(copied->copy(host, memory, kBytes));
  CHECK_ERROR(copied->synchronize(), ErrorCode::kDeviceLost,
              "a copy of 2048 bytes to the host: nobody wrote byte 2044");

  const auto called = new_stream();
  const LibraryCall call{.name = "multiply",
                         .enqueue = [](void*) { return Result<void>(); },
                         .addresses = {memory},
                         .reads = {{reinterpret_cast<const std::byte*>(memory), kBytes}}};
  REQUIRE_OK(called->call(call));
  CHECK_ERROR(called->synchronize(), ErrorCode::kDeviceLost, "multiply: byte 2044 of operand 0 was read");

  auto* const fresh = static_cast<float*>(device->allocate(kBytes).value());
  for (const auto kernel : {vector_load_kernel<false>, vector_load_kernel<true>}) {
    const auto launched = new_stream();
    // One written value of the 16 bytes is enough: a load may include unwritten bytes beside it.
    for (std::size_t i = 0; i < kFloats; i += 4) memory[i] = 1.0F;
    REQUIRE_OK(launch(*launched, "loads", kernel, kOneBlock, Arguments{memory, out}));
    REQUIRE_OK(launched->synchronize());
    REQUIRE_OK(launch(*launched, "loads", kernel, kOneBlock, Arguments{fresh, out}));
    CHECK_ERROR(launched->synchronize(), ErrorCode::kDeviceLost, "a load of 16 bytes that nobody wrote");
  }
}

TEST_CASE("rows of a matrix load are aligned, and in shared memory") {
  CHECK_ERROR(run_kernel(matrix_rows_kernel<true>, {}), ErrorCode::kDeviceLost, "an access of 16 bytes at an address");
  CHECK_ERROR(run_kernel(matrix_rows_kernel<false>, {}), ErrorCode::kDeviceLost, "not in the block's shared memory");
}

TEST_CASE("a graph replays the arguments that it captured, and refuses those whose memory was freed") {
  const auto device = shim::make_shim_device({});
  const auto stream = device->create_stream().value();
  Buffer<float> in(*device, ramp());
  auto out = std::make_unique<Buffer<float>>(*device, std::vector<float>(kThreads, 0.0F));
  REQUIRE_OK(stream->begin_capture());
  REQUIRE_OK(launch(*stream, "reverse", reverse_kernel<true>, kOneBlock, Arguments{in.data(), out->data()}));
  auto graph = stream->end_capture();
  REQUIRE_OK(graph);
  REQUIRE_OK(stream->synchronize());
  CHECK(out->content().front() == 0.0F);
  for (int i = 0; i < 2; ++i) REQUIRE_OK(stream->replay(**graph));
  REQUIRE_OK(stream->synchronize());
  CHECK(out->content().front() == kThreads - 1);
  out.reset();
  REQUIRE_OK(stream->replay(**graph));
  CHECK_ERROR(stream->synchronize(), ErrorCode::kDeviceLost,
              "kernel reverse: byte 8 of its argument is an address in memory that was freed since");
}

}  // namespace
}  // namespace secondsource::gpu
