#include "host/machine_limits.h"

#include <algorithm>
#include <span>
#include <string>

#include "backend_kit/host_device.h"
#include "backend_kit/host_memory.h"
#include "host/limit_loops.h"
#include "host/limit_timing.h"
#include "record/roofline.h"

namespace secondsource {
namespace {

constexpr std::size_t kSmallestRead = std::size_t{256} << 10;
constexpr std::size_t kLargestRead = std::size_t{256} << 20;
// Each timing reads at least this much, so that the start of the threads does not count.
constexpr std::size_t kBytesPerTiming = std::size_t{64} << 20;
constexpr int kRepetitions = 3;
// How often to measure again while other processes have the CPUs: one undisturbed moment is enough.
constexpr int kMostRemeasurements = 3;

std::vector<ReadLimit> measure_read_ladder(const LimitLoops& loops, std::span<const std::byte> bytes, int n_threads,
                                           CpuShare& share) {
  std::vector<ReadLimit> ladder;
  for (std::size_t size = kSmallestRead; size <= bytes.size(); size *= 2) {
    const std::size_t part = size / static_cast<std::size_t>(n_threads) / 256 * 256;
    if (part == 0) continue;
    const std::size_t n_passes = std::max<std::size_t>(1, kBytesPerTiming / size);
    double best = 0;
    // The first timing also brings the buffer into the cache that holds it.
    for (int repetition = 0; repetition < kRepetitions; ++repetition) {
      const std::int64_t ns = time_threads(
          n_threads,
          [&](int thread) {
            float sum = 0;
            for (std::size_t pass = 0; pass < n_passes; ++pass) {
              sum += loops.read(bytes.data() + static_cast<std::size_t>(thread) * part, part);
            }
            return sum;
          },
          &share);
      const double read = static_cast<double>(part * n_passes) * n_threads;
      best = std::max(best, 1e9 * read / static_cast<double>(std::max<std::int64_t>(1, ns)));
    }
    ladder.push_back({static_cast<std::int64_t>(size), best});
  }
  // A smaller buffer cannot be slower to read than a larger one: such a result is noise.
  for (std::size_t index = ladder.size(); index-- > 1;) {
    ladder[index - 1].bytes_per_s = std::max(ladder[index - 1].bytes_per_s, ladder[index].bytes_per_s);
  }
  return ladder;
}

Result<MachineLimits> measure_once(std::int32_t n_threads) {
  const LimitLoops loops = best_limit_loops();
  CpuShare share;
  MachineLimits limits;
  limits.n_threads = n_threads > 0 ? n_threads : n_usable_cpus();
  limits.instruction_set = loops.instruction_set;
  MemoryAccount account;
  SS_TRY(const HostBuffer buffer, make_touched_buffer(account, kLargestRead, HugePages::kAdvise));
  limits.reads = measure_read_ladder(loops, buffer.as<const std::byte>(), limits.n_threads, share);
  const auto peak = [&](const LimitLoop& loop) {
    return measure_compute(loop, limits.n_threads, kRepetitions, &share).best;
  };
  limits.f32_flops = peak(loops.f32);
  if (loops.bf16.run != nullptr) limits.bf16_flops = peak(loops.bf16);
  if (loops.int8.run != nullptr) limits.int8_ops = peak(loops.int8);
  limits.disturbed = std::max(
      0.0, 1 - static_cast<double>(share.cpu_ns) / static_cast<double>(std::max<std::int64_t>(1, share.wall_ns)));
  return limits;
}

}  // namespace

Result<MachineLimits> measure_machine_limits(std::int32_t n_threads, const std::vector<std::int32_t>& cpus,
                                             const HostFiles& files) {
  Result<MachineLimits> limits = MachineLimits();
  on_cpus(cpus, [&] {
    limits = measure_once(n_threads);
    for (int n_more = 0; limits && limits->disturbed > kLimitsDisturbed && n_more < kMostRemeasurements; ++n_more) {
      const Result<MachineLimits> again = measure_once(n_threads);
      if (again) limits = highest_of(*limits, *again);
    }
  });
  const Result<std::string> cpuinfo = files.read("proc/cpuinfo");
  if (limits && cpuinfo && cpuinfo->find("amx_tile") != std::string::npos) limits->unmeasured = "AMX";
  return limits;
}

MachineLimits highest_of(const MachineLimits& a, const MachineLimits& b) {
  MachineLimits highest = a;
  for (std::size_t index = 0; index < std::min(a.reads.size(), b.reads.size()); ++index) {
    highest.reads[index].bytes_per_s = std::max(a.reads[index].bytes_per_s, b.reads[index].bytes_per_s);
  }
  highest.f32_flops = std::max(a.f32_flops, b.f32_flops);
  if (b.bf16_flops) highest.bf16_flops = std::max(a.bf16_flops.value_or(0), *b.bf16_flops);
  if (b.int8_ops) highest.int8_ops = std::max(a.int8_ops.value_or(0), *b.int8_ops);
  highest.disturbed = std::min(a.disturbed, b.disturbed);
  return highest;
}

}  // namespace secondsource
