// Tests gpu::Device over Vulkan: memory by addresses, the order of commands, graphs, events, and the device's measured rates.

#include <cstdlib>
#include <numeric>

#include "gpu/host/device_rates.h"
#include "unit/vulkan/opened_device.h"
#include "vulkan/launchers.h"

using namespace secondsource;
using namespace secondsource::gpu;
using secondsource::vulkan::test::opened_device;

namespace {

std::unique_ptr<DeviceMemory> opened_memory() {
  auto device = opened_device();
  if (!device) return nullptr;
  return std::move(DeviceMemory::create(std::move(device))).value();
}

DeviceBuffer filled(DeviceMemory& memory, const std::vector<std::int32_t>& words) {
  DeviceBuffer buffer = std::move(memory.allocate(MemoryPurpose::kWorkspace, words.size() * 4)).value();
  REQUIRE_OK(memory.upload(buffer.data(), words.data(), words.size() * 4));
  return buffer;
}

std::vector<std::int32_t> content(DeviceMemory& memory, const DeviceBuffer& buffer, std::size_t n) {
  std::vector<std::int32_t> words(n);
  REQUIRE_OK(memory.download(words.data(), buffer.data(), n * 4));
  return words;
}

/// The arguments of a kernel that copies one row of `n` values: to[i] = from[i].
SelectRowsArguments copy_of_row(const DeviceBuffer& from, const DeviceBuffer& to, const DeviceBuffer& one,
                                const DeviceBuffer& zero, std::int32_t n) {
  return {.n_rows = one.as<std::int32_t>(),
          .rows = zero.as<std::int32_t>(),
          .x = from.as<float>(),
          .out = to.as<float>(),
          .n_cols = n,
          .max_rows = 1};
}

}  // namespace

TEST_CASE("a driver that computes on the CPU is offered only where it is asked for") {
  const auto all = vulkan::list_physical_devices();
  if (!all || all->empty()) {
    std::cout << "skipped: no Vulkan driver\n";
    return;
  }
  setenv("SECONDSOURCE_VULKAN_SOFTWARE", "0", 1);
  const auto without = vulkan::usable_devices();
  setenv("SECONDSOURCE_VULKAN_SOFTWARE", "1", 1);
  const auto with = vulkan::usable_devices();
  const auto is_software = [](const vulkan::PhysicalDevice& device) { return device.is_software; };
  if (without) {
    CHECK(std::ranges::none_of(*without, is_software));
  } else {
    CHECK(without.error().code == ErrorCode::kUnavailable);
    if (std::ranges::any_of(*all, is_software)) {
      CHECK(without.error().message.find("SECONDSOURCE_VULKAN_SOFTWARE=1") != std::string::npos);
    }
  }
  if (with) {
    for (const vulkan::PhysicalDevice& device : *with) CHECK(device.why_unfit.empty());
  }
}

TEST_CASE("commands run in the order of the calls, and a graph with the parameters of its capture") {
  const auto memory = opened_memory();
  if (!memory) return;
  const DeviceBuffer first = filled(*memory, {1, 2, 3, 4});
  const DeviceBuffer second = filled(*memory, {0, 0, 0, 0});
  const DeviceBuffer third = filled(*memory, {0, 0, 0, 0});
  const DeviceBuffer one = filled(*memory, {1});
  const DeviceBuffer zero = filled(*memory, {0});
  const KernelTable& kernels = vulkan::kernel_table();
  Stream& stream = memory->stream();
  const LaunchContext context{stream, memory->device().properties().warp_size};
  REQUIRE_OK(stream.begin_capture());
  {
    const SelectRowsArguments to_second = copy_of_row(first, second, one, zero, 4);
    REQUIRE_OK(kernels.select_rows(context, to_second));
  }
  REQUIRE_OK(kernels.select_rows(context, copy_of_row(second, third, one, zero, 4)));
  auto graph = stream.end_capture();
  REQUIRE_OK(graph);
  CHECK(content(*memory, third, 4) == std::vector<std::int32_t>{0, 0, 0, 0});  // a capture runs nothing
  REQUIRE_OK(stream.replay(**graph));
  CHECK(content(*memory, third, 4) == std::vector<std::int32_t>{1, 2, 3, 4});
  REQUIRE_OK(stream.fill(first.data(), 0x11, 16));  // between two replays that are submitted together
  REQUIRE_OK(stream.replay(**graph));
  graph->reset();  // its commands are kept until they have run
  CHECK(content(*memory, third, 4) == std::vector<std::int32_t>(4, 0x11111111));
}

TEST_CASE("memory is freed after the work that uses it") {
  const auto memory = opened_memory();
  if (!memory) return;
  std::vector<std::int32_t> words(1 << 20);
  std::iota(words.begin(), words.end(), 0);
  const DeviceBuffer kept = std::move(memory->allocate(MemoryPurpose::kWorkspace, words.size() * 4)).value();
  {
    const DeviceBuffer passing = filled(*memory, words);
    REQUIRE_OK(memory->stream().copy(kept.data(), passing.data(), words.size() * 4));
  }
  CHECK(content(*memory, kept, words.size()) == words);
}

TEST_CASE("an event is done after the work before it, and time passes between two events") {
  const auto memory = opened_memory();
  if (!memory) return;
  Device& device = memory->device();
  const auto begin = std::move(device.create_event()).value();
  const auto end = std::move(device.create_event()).value();
  const DeviceBuffer buffer = std::move(memory->allocate(MemoryPurpose::kWorkspace, std::size_t{64} << 20)).value();
  REQUIRE_OK(memory->stream().record(*begin));
  REQUIRE_OK(memory->stream().fill(buffer.data(), 1, buffer.size_bytes()));
  REQUIRE_OK(memory->stream().record(*end));
  for (bool done = false; !done;) done = std::move(device.is_done(*end)).value();  // without a call of flush()
  const auto ns = device.elapsed_ns(*begin, *end);
  REQUIRE_OK(ns);
  CHECK(*ns > 0);
}

TEST_CASE("what lies outside of an allocation is refused, and so are sizes that the driver does not allow") {
  const auto memory = opened_memory();
  if (!memory) return;
  const DeviceBuffer buffer = filled(*memory, std::vector<std::int32_t>(64, 0));  // 256 bytes
  const DeviceBuffer other = filled(*memory, std::vector<std::int32_t>(128, 0));
  const auto too_far = memory->stream().copy(other.data(), buffer.data(), 257);
  REQUIRE_FALSE(too_far);
  CHECK(too_far.error().code == ErrorCode::kInternal);
  REQUIRE_FALSE(memory->stream().copy(other.data(), buffer.data() + 200, 100));
  REQUIRE_FALSE(memory->stream().fill(buffer.data(), 0, 6));
  const auto huge = memory->device().allocate(std::size_t{1} << 60);
  REQUIRE_FALSE(huge);
  CHECK(huge.error().code == ErrorCode::kOutOfMemory);
}

TEST_CASE("every word is read once in a pass, and every product made once") {
  const auto memory = opened_memory();
  if (!memory) return;
  const RateExtents extents{.cached_bytes = {std::size_t{1} << 16},
                            .memory_bytes = {std::size_t{1} << 20},
                            .pass_bytes = std::size_t{1} << 20,
                            .compute_steps = 2,
                            .n_passes = 2};
  const auto rates = measure_device_rates(*memory, vulkan::kernel_table(), extents, RateEffort::kAll);
  REQUIRE_OK(rates);
  CHECK(rates->reads.size() == 2);
  CHECK(rates->f32_flops > 0);
  const bool has_matrices = memory->device().properties().has_matrix_units;
  CHECK(rates->bf16_flops.has_value() == has_matrices);
  CHECK(rates->int8_ops.has_value() == has_matrices);
  CHECK(rates->unmeasured.empty());
}
