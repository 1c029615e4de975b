#include "gpu/host/device_rates.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>

namespace secondsource::gpu {
namespace {

constexpr std::uint8_t kByte = 0x5a;                            // content of the buffers, by which a pass is checked
constexpr std::array<std::int32_t, 3> kReadBlocks = {2, 4, 8};  // per processor; 8 blocks fill its 2048 threads
constexpr std::array<std::int32_t, 2> kComputeBlocks = {2, 4};
// Targets whose matrix cores the tiles of matrix_tile.h keep busy; sm_90 takes warpgroups. Newer ones have other instructions.
constexpr std::array<std::string_view, 9> kTargetsByTiles = {"sm_80",  "sm_86",  "sm_87",   "sm_89",  "gfx908",
                                                             "gfx90a", "gfx942", "gfx1100", "gfx1101"};

/// Measures on one device, with allocations of its own that no account has.
class Meter {
 public:
  Meter(DeviceMemory& memory, const KernelTable& kernels, const RateExtents& extents)
      : memory_(memory), kernels_(kernels), extents_(extents), properties_(memory.device().properties()) {}

  /// Bytes/s of the fastest pass over a buffer of this size, with several numbers of blocks; nullopt if it does not fit.
  Result<std::optional<double>> read_rate(std::size_t bytes) {
    Result<DeviceBuffer> buffer = allocate(bytes);
    if (!buffer && buffer.error().code == ErrorCode::kOutOfMemory) return std::optional<double>();
    if (!buffer) return buffer.error();
    SS_TRY_VOID(memory_.stream().fill(buffer->data(), kByte, bytes));
    const auto n_passes = static_cast<std::int32_t>(std::max<std::size_t>(1, extents_.pass_bytes / bytes));
    double best = 0;
    for (const std::int32_t blocks : kReadBlocks) {
      const std::int32_t n_blocks = blocks * properties_.n_processors;
      const std::size_t n_sums = static_cast<std::size_t>(n_blocks) * kReadMemoryThreads;
      SS_TRY(const DeviceBuffer sums, allocate(n_sums * sizeof(std::uint32_t)));
      const ReadMemoryArguments arguments{.memory = buffer->data(),
                                          .sums = sums.as<std::uint32_t>(),
                                          .n_vecs = static_cast<std::int64_t>(bytes / 16),
                                          .n_blocks = n_blocks,
                                          .n_passes = n_passes};
      SS_TRY(const double seconds, fastest([&] { return kernels_.read_memory(context(), arguments); }));
      SS_TRY_VOID(check_sums(sums, bytes, n_passes));
      best = std::max(best, static_cast<double>(bytes) * n_passes / seconds);
    }
    return std::optional(best);
  }

  /// Operations/s of the fastest pass, a multiply-add being two.
  Result<double> compute_rate(ComputeUnit unit) {
    const double per_thread = extents_.compute_steps * compute_of_thread(unit, properties_.warp_size);
    double best = 0;
    for (const std::int32_t blocks : kComputeBlocks) {
      const std::int32_t n_blocks = blocks * properties_.n_processors;
      const std::size_t n_results = static_cast<std::size_t>(n_blocks) * kComputeThreads;
      SS_TRY(const DeviceBuffer results, allocate(n_results * sizeof(float)));
      const ComputeArguments arguments{
          .unit = unit, .results = results.as<float>(), .n_blocks = n_blocks, .n_steps = extents_.compute_steps};
      SS_TRY(const double seconds, fastest([&] { return kernels_.compute(context(), arguments); }));
      std::vector<float> found(n_results);
      SS_TRY_VOID(memory_.download(found.data(), results.data(), results.size_bytes()));
      for (const float one : found) {
        if (one != static_cast<float>(per_thread)) {
          return Error{ErrorCode::kInternal,
                       fmt::format("compute rate: expected {} products in a thread, found {}: not every "
                                   "product was made once",
                                   per_thread, one)};
        }
      }
      best = std::max(best, 2 * per_thread * static_cast<double>(n_results) / seconds);
    }
    return best;
  }

 private:
  [[nodiscard]] LaunchContext context() const { return {memory_.stream(), properties_.warp_size}; }
  Result<DeviceBuffer> allocate(std::size_t bytes) {
    return DeviceBuffer::allocate(memory_.device(), account_, MemoryPurpose::kWorkspace, bytes);
  }

  /// Seconds of the fastest of several launches.
  template <typename Launch>
  Result<double> fastest(const Launch& launch) {
    Device& device = memory_.device();
    Stream& stream = memory_.stream();
    SS_TRY(const std::unique_ptr<Event> begin, device.create_event());
    SS_TRY(const std::unique_ptr<Event> end, device.create_event());
    std::int64_t fastest = std::numeric_limits<std::int64_t>::max();
    for (int pass = 0; pass < extents_.n_passes; ++pass) {
      SS_TRY_VOID(stream.record(*begin));
      SS_TRY_VOID(launch());
      SS_TRY_VOID(stream.record(*end));
      SS_TRY_VOID(stream.synchronize());
      SS_TRY(const std::int64_t ns, device.elapsed_ns(*begin, *end));
      fastest = std::min(fastest, std::max<std::int64_t>(ns, 1));
    }
    return 1e-9 * static_cast<double>(fastest);
  }

  /// Checks that the threads' sums add up to that of `n_passes` times `bytes` bytes of kByte.
  Result<void> check_sums(const DeviceBuffer& sums, std::size_t bytes, std::int32_t n_passes) {
    std::vector<std::uint32_t> found(sums.size_bytes() / sizeof(std::uint32_t));
    SS_TRY_VOID(memory_.download(found.data(), sums.data(), sums.size_bytes()));
    const std::uint32_t total = std::accumulate(found.begin(), found.end(), std::uint32_t{0});
    const std::uint32_t expected = static_cast<std::uint32_t>(bytes / sizeof(std::uint32_t)) * (kByte * 0x01010101U) *
                                   static_cast<std::uint32_t>(n_passes);
    if (total == expected) return {};
    return Error{
        ErrorCode::kInternal,
        fmt::format("read rate: expected a sum of {:#x}, found {:#x}: not every byte was read once in each pass",
                    expected, total)};
  }

  DeviceMemory& memory_;
  const KernelTable& kernels_;
  const RateExtents& extents_;
  const DeviceProperties& properties_;
  MemoryAccount account_;  ///< of its own: a measurement is no part of what a model needs
};

}  // namespace

std::string unmeasured_units(const DeviceProperties& properties) {
  // Where tiles multiply FP16, the compute kernel uses the same instructions as they do, so that their peak is always measured.
  if (properties.has_warpgroups || properties.has_f16_tiles ||
      std::ranges::find(kTargetsByTiles, properties.target) != kTargetsByTiles.end()) {
    return "";
  }
  return "the matrix units of " + properties.target;
}

Result<DeviceRates> measure_device_rates(DeviceMemory& memory, const KernelTable& kernels, const RateExtents& extents,
                                         RateEffort effort) {
  const DeviceProperties& properties = memory.device().properties();
  DeviceRates rates;
  rates.n_processors = properties.n_processors;
  rates.loops = properties.target;
  Meter meter(memory, kernels, extents);
  const bool takes_all = effort == RateEffort::kAll;
  for (const std::size_t bytes : takes_all ? extents.cached_bytes : std::vector<std::size_t>()) {
    SS_TRY(const std::optional<double> rate, meter.read_rate(bytes));
    if (rate) rates.reads.push_back({static_cast<std::int64_t>(bytes), *rate});
  }
  double from_memory = 0;
  for (const std::size_t bytes : extents.memory_bytes) {
    SS_TRY(const std::optional<double> rate, meter.read_rate(bytes));
    if (rate) from_memory = std::max(from_memory, *rate);
    if (!rate || !takes_all) break;
  }
  if (!(from_memory > 0)) {
    return Error{ErrorCode::kOutOfMemory,
                 fmt::format("the read rate of {}: {} MiB of its memory, more than any cache, are not free",
                             properties.name, extents.memory_bytes.front() >> 20)};
  }
  rates.reads.push_back({static_cast<std::int64_t>(extents.memory_bytes.front()), from_memory});
  SS_TRY(rates.f32_flops, meter.compute_rate(ComputeUnit::kF32));
  if (!takes_all || !properties.has_matrix_units) return rates;
  rates.unmeasured = unmeasured_units(properties);
  const bool together = properties.has_warpgroups;
  SS_TRY(rates.bf16_flops, meter.compute_rate(together ? ComputeUnit::kBf16Together : ComputeUnit::kBf16));
  SS_TRY(rates.int8_ops, meter.compute_rate(together ? ComputeUnit::kInt8Together : ComputeUnit::kInt8));
  return rates;
}

}  // namespace secondsource::gpu
