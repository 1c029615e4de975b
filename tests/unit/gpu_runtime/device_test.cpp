// Tests two GPUs in one process: every call on a Device object reaches its own GPU, whichever thread makes the call and whichever
// GPU is current there. Calls of the runtime refer to the calling thread's current GPU; stand_in/ implements these rules.

#include <cuda.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <array>
#include <thread>
#include <vector>

#include "gpu/runtime/runtime_device.h"
#include "gpu/runtime/tensor_map.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::gpu::runtime {
namespace {

std::unique_ptr<Device> opened(int ordinal) {
  const auto devices = list_devices();
  REQUIRE_OK(devices);
  REQUIRE(devices->size() == 2);
  const auto sensors = absent_sensors("a test");
  auto device = open_device((*devices)[static_cast<std::size_t>(ordinal)], *sensors,
                            [] { return std::vector<TelemetryReading>{}; });
  REQUIRE_OK(device);
  return *std::move(device);
}

/// Does everything that a backend does with a device. Before each call, the other device is made current.
struct Use {
  Device& device;
  int ordinal;
  std::string problem = "it was not used";

  template <typename Call>
  auto from_elsewhere(const Call& call) const {
    (void)cudaSetDevice(1 - ordinal);
    return call();
  }

  Result<void> use_all() const {
    static const int function = 0;
    SS_TRY(void* const memory, from_elsewhere([&] { return device.allocate(256); }));
    SS_TRY(void* const pinned, from_elsewhere([&] { return device.allocate_pinned(256); }));
    if (device_of_memory(memory) != ordinal || device_of_memory(pinned) != ordinal) return wrong("memory");
    SS_TRY(auto stream, from_elsewhere([&] { return device.create_stream(); }));
    SS_TRY(auto before, from_elsewhere([&] { return device.create_event(); }));
    SS_TRY(auto after, from_elsewhere([&] { return device.create_event(); }));
    SS_TRY_VOID(from_elsewhere([&] { return stream->record(*before); }));
    SS_TRY_VOID(from_elsewhere([&] { return stream->fill(memory, 0, 256); }));
    SS_TRY_VOID(from_elsewhere([&] { return stream->copy(memory, pinned, 256); }));
    const KernelCall kernel{.name = "kernel",
                            .function = &function,
                            .shape = {.grid = {}, .threads = 32, .shared_bytes = std::size_t{64} << 10}};
    SS_TRY_VOID(from_elsewhere([&] { return stream->launch(kernel); }));
    if (!may_use_much_shared_memory(&function, ordinal)) return wrong("shared memory");
    SS_TRY_VOID(from_elsewhere([&] { return stream->begin_capture(); }));
    SS_TRY_VOID(from_elsewhere([&] { return stream->launch(kernel); }));
    int current = -1;
    const LibraryCall library{.name = "library",
                              .enqueue = [&](void*) -> Result<void> {
                                (void)cudaGetDevice(&current);
                                return {};
                              },
                              .addresses = {}};
    SS_TRY_VOID(from_elsewhere([&] { return stream->call(library); }));
    if (current != ordinal) return wrong("a call of a library");
    SS_TRY_VOID(from_elsewhere([&] { return device.make_current(); }));
    (void)cudaGetDevice(&current);
    if (current != ordinal) return wrong("what was made current");
    SS_TRY(auto graph, from_elsewhere([&] { return stream->end_capture(); }));
    SS_TRY_VOID(from_elsewhere([&] { return stream->replay(*graph); }));
    SS_TRY_VOID(from_elsewhere([&] { return stream->record(*after); }));
    SS_TRY_VOID(from_elsewhere([&] { return stream->synchronize(); }));
    SS_TRY(const bool is_done, from_elsewhere([&] { return device.is_done(*after); }));
    if (!is_done) return wrong("an event that is done");
    SS_TRY(const std::int64_t elapsed_ns, from_elsewhere([&] { return device.elapsed_ns(*before, *after); }));
    if (elapsed_ns != 1'000'000) return wrong("a time");
    from_elsewhere([&] { graph.reset(); });
    from_elsewhere([&] { before.reset(); });
    from_elsewhere([&] { after.reset(); });
    from_elsewhere([&] { stream.reset(); });
    from_elsewhere([&] { device.free(memory); });
    from_elsewhere([&] { device.free_pinned(pinned); });
    return {};
  }

  void run() {
    const int n_before = n_refused();
    const Result<void> used = use_all();
    problem = !used ? used.error().message : n_refused() > n_before ? "a call was refused unseen" : "";
  }

 private:
  static Error wrong(const char* what) {
    return Error{ErrorCode::kInternal, fmt::format("{} is not the device's", what)};
  }
};

TEST_CASE("two devices are used in turns by one thread") {
  forget_contexts();
  const std::array devices = {opened(0), opened(1)};
  const std::array before = {n_launches(0), n_launches(1)};
  for (const int ordinal : {0, 1, 0, 1}) {
    CAPTURE(ordinal);
    Use use{.device = *devices[static_cast<std::size_t>(ordinal)], .ordinal = ordinal};
    use.run();
    CHECK(use.problem == "");
  }
  // Two launches and a replay for each use.
  CHECK(n_launches(0) - before[0] == 6);
  CHECK(n_launches(1) - before[1] == 6);
}

TEST_CASE("a device is used by threads that did not open it, and the other one stays without a context") {
  forget_contexts();
  const auto device = opened(1);
  Use use{.device = *device, .ordinal = 1};
  std::thread([&] { use.run(); }).join();
  CHECK(use.problem == "");
  // Nothing has been allocated since the context was created.
  std::optional<std::int64_t> held;
  std::thread([&] { held = device->process_bytes(); }).join();
  REQUIRE(held);
  CHECK(*held == 0);
}

TEST_CASE("kernels overlap on a stream that was told so, and on no other") {
  forget_contexts();
  const auto device = opened(0);
  static const int function = 0;
  const KernelCall kernel{
      .name = "kernel", .function = &function, .shape = {.grid = {}, .threads = 32, .shared_bytes = 0}};
  const int launched_before = n_launches(0);
  const int overlapping_before = n_overlapping_launches(0);
  const auto one_by_one = device->create_stream();
  const auto overlapping = device->create_stream();
  REQUIRE_OK(one_by_one);
  REQUIRE_OK(overlapping);
  (*overlapping)->overlap_kernels();
  REQUIRE_OK((*one_by_one)->launch(kernel));
  REQUIRE_OK((*overlapping)->launch(kernel));
  REQUIRE_OK((*overlapping)->launch(kernel));
  CHECK(n_launches(0) - launched_before == 3);
  CHECK(n_overlapping_launches(0) - overlapping_before == 2);
  // Code compiled for an older device does not contain the instruction that waits for the kernel before.
  set_ptx_version(80);
  CHECK_ERROR((*overlapping)->launch(kernel), ErrorCode::kUnavailable, "the code of kernel kernel is that of sm_80");
  REQUIRE_OK((*one_by_one)->launch(kernel));
  set_ptx_version(90);
  CHECK(n_overlapping_launches(0) - overlapping_before == 2);
}

TEST_CASE("blocks of a launch form clusters where the launch says so, also where kernels overlap") {
  forget_contexts();
  const auto device = opened(0);
  static const int function = 0;
  KernelCall kernel{
      .name = "kernel", .function = &function, .shape = {.grid = {.x = 6}, .threads = 32, .shared_bytes = 0}};
  const auto stream = device->create_stream();
  REQUIRE_OK(stream);
  REQUIRE_OK((*stream)->launch(kernel));
  CHECK(cluster_of_last_launch(0) == 1);
  kernel.shape.cluster_blocks = 2;
  REQUIRE_OK((*stream)->launch(kernel));
  CHECK(cluster_of_last_launch(0) == 2);
  (*stream)->overlap_kernels();
  const int overlapping_before = n_overlapping_launches(0);
  REQUIRE_OK((*stream)->launch(kernel));
  CHECK(cluster_of_last_launch(0) == 2);
  CHECK(n_overlapping_launches(0) - overlapping_before == 1);
  kernel.shape.cluster_blocks = 1;
  REQUIRE_OK((*stream)->launch(kernel));
  CHECK(cluster_of_last_launch(0) == 1);
}

TEST_CASE("the driver is asked for a map of the matrix, in tiles of lines of 128 bytes") {
  alignas(16) static std::byte values[4096];
  TiledMatrix matrix{.values = values, .value_bytes = 2, .n_rows = 7, .n_cols = 96, .row_bytes = 256, .tile_rows = 64};
  const auto words_of = [&]() -> std::vector<std::uint64_t> {
    const auto map = encode_tensor_map(matrix);
    REQUIRE_OK(map);
    return {map->word, map->word + 11};
  };
  const auto address = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(values));
  CHECK(words_of() == std::vector<std::uint64_t>{CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, address, 96, 7, 256, 64, 64,
                                                 CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                                 CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE});
  matrix.value_bytes = 1;
  matrix.tile_rows = 256;
  CHECK(words_of() == std::vector<std::uint64_t>{CU_TENSOR_MAP_DATA_TYPE_UINT8, address, 96, 7, 256, 128, 256,
                                                 CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                                 CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE});
  matrix.row_bytes = 250;
  CHECK_ERROR(encode_tensor_map(matrix), ErrorCode::kInternal,
              "status 1 for [7, 96] values of 1 bytes, 250 from row to row");
  set_driver_functions(false);
  CHECK_ERROR(encode_tensor_map(matrix), ErrorCode::kUnavailable, "no cuTensorMapEncodeTiled");
  set_driver_functions(true);
}

}  // namespace
}  // namespace secondsource::gpu::runtime
