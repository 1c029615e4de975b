// Two GPUs in one process: every call of a device reaches that device, whichever thread makes it and whichever device was used
// before. The runtime's calls refer to the current device of the calling thread; stand_in/ has the rules.

#include <cuda_runtime_api.h>

#include <array>
#include <thread>

#include "gpu/runtime/runtime_device.h"
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

/// Everything that a backend does with a device. `done`: all of it succeeded.
struct Use {
  Device& device;
  int ordinal;
  bool done = false;

  void run() {
    static int function = 0;
    const auto all = [&]() -> Result<void> {
      SS_TRY(void* const memory, device.allocate(256));
      SS_TRY(void* const pinned, device.allocate_pinned(256));
      if (device_of_memory(memory) != ordinal) return Error{ErrorCode::kInternal, "memory of another device"};
      SS_TRY(const auto stream, device.create_stream());
      SS_TRY(const auto before, device.create_event());
      SS_TRY(const auto after, device.create_event());
      SS_TRY_VOID(stream->record(*before));
      SS_TRY_VOID(stream->fill(memory, 0, 256));
      SS_TRY_VOID(stream->copy(memory, pinned, 256));
      const KernelCall kernel{.name = "kernel",
                              .function = &function,
                              .shape = {.grid = {}, .threads = 32, .shared_bytes = std::size_t{64} << 10}};
      SS_TRY_VOID(stream->launch(kernel));
      if (!may_use_much_shared_memory(&function, ordinal))
        return Error{ErrorCode::kInternal, "shared memory elsewhere"};
      SS_TRY_VOID(stream->begin_capture());
      SS_TRY_VOID(stream->launch(kernel));
      int current = -1;
      SS_TRY_VOID(stream->call({.name = "library",
                                .enqueue = [&](void*) -> Result<void> {
                                  (void)cudaGetDevice(&current);
                                  return {};
                                },
                                .addresses = {}}));
      if (current != ordinal) return Error{ErrorCode::kInternal, "a library on another device"};
      SS_TRY(const auto graph, stream->end_capture());
      SS_TRY_VOID(stream->replay(*graph));
      SS_TRY_VOID(stream->record(*after));
      SS_TRY_VOID(stream->synchronize());
      SS_TRY(const bool is_done, device.is_done(*after));
      if (!is_done) return Error{ErrorCode::kInternal, "an event that is not done"};
      SS_TRY(const std::int64_t elapsed_ns, device.elapsed_ns(*before, *after));
      if (elapsed_ns != 1'000'000) return Error{ErrorCode::kInternal, "another time than the stand-in's"};
      device.free(memory);
      device.free_pinned(pinned);
      return {};
    };
    const Result<void> result = all();
    if (!result) UNSCOPED_INFO(result.error().message);
    done = result.has_value();
  }
};

TEST_CASE("two devices are used in turns by one thread") {
  const std::array devices = {opened(0), opened(1)};
  const std::array before = {n_launches(0), n_launches(1)};
  for (const int ordinal : {0, 1, 0, 1}) {
    CAPTURE(ordinal);
    Use use{.device = *devices[static_cast<std::size_t>(ordinal)], .ordinal = ordinal};
    use.run();
    CHECK(use.done);
  }
  // Two launches and a replay for each use.
  CHECK(n_launches(0) - before[0] == 6);
  CHECK(n_launches(1) - before[1] == 6);
}

TEST_CASE("a device is used by threads that did not open it") {
  const auto device = opened(1);
  Use use{.device = *device, .ordinal = 1};
  std::thread([&] { use.run(); }).join();
  CHECK(use.done);
  // The stand-in says how much of each device is used; nothing was allocated since the context was created.
  std::optional<std::int64_t> held;
  std::thread([&] { held = device->process_bytes(); }).join();
  REQUIRE(held);
  CHECK(*held == 0);
}

}  // namespace
}  // namespace secondsource::gpu::runtime
