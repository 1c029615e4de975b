#include "host/machine_limits.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include "backend_kit/host_device.h"
#include "backend_kit/host_memory.h"
#include "core/clock.h"
#include "host/cache_size.h"
#include "host/limit_looks.h"
#include "host/limit_loops.h"
#include "host/limit_timing.h"
#include "record/roofline.h"

namespace secondsource {
namespace {

constexpr std::size_t kSmallestRead = std::size_t{256} << 10;
// Each timing reads at least this much, so that the start of the threads does not count.
constexpr std::size_t kBytesPerTiming = std::size_t{64} << 20;
// A loop is repeated until so many timings in a row are no faster than the best before them by more than kSteady: the
// first ones bring the buffer into the cache that holds it, and a large cache takes several passes.
constexpr int kSteadyRepetitions = 3;
constexpr int kMostRepetitions = 16;
constexpr double kSteady = 0.01;
// WhenDisturbed::kMeasureAgain
constexpr int kMostRemeasurements = 3;
constexpr std::int64_t kRemeasureForNs = 2'000'000'000;

bool is_stopped(const InterruptFlag* interrupt) {
  return interrupt != nullptr && interrupt->requested();
}

/// The highest rate of a loop at its steady state; `measure` returns the rate of one timing. Ends early, with a rate that
/// means nothing, when it is interrupted.
template <typename Measure>
double steady_best(const InterruptFlag* interrupt, const Measure& measure) {
  double best = 0;
  int n_steady = 0;
  for (int repetition = 0; repetition < kMostRepetitions && n_steady < kSteadyRepetitions; ++repetition) {
    if (is_stopped(interrupt)) break;
    const double rate = measure();
    n_steady = rate > (1 + kSteady) * best ? 0 : n_steady + 1;
    best = std::max(best, rate);
  }
  return best;
}

std::vector<ReadLimit> measure_read_ladder(const LimitLoops& loops, std::span<const std::byte> bytes, int n_threads,
                                           CpuShare& share, const InterruptFlag* interrupt) {
  std::vector<ReadLimit> ladder;
  for (std::size_t size = kSmallestRead; size <= bytes.size(); size *= 2) {
    const std::size_t part = size / static_cast<std::size_t>(n_threads) / 256 * 256;
    if (part == 0) continue;
    const std::size_t n_passes = std::max<std::size_t>(1, kBytesPerTiming / size);
    const double best = steady_best(interrupt, [&] {
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
      return 1e9 * read / static_cast<double>(std::max<std::int64_t>(1, ns));
    });
    ladder.push_back({static_cast<std::int64_t>(size), best});
  }
  // A smaller buffer cannot be slower to read than a larger one: such a result is noise.
  for (std::size_t index = ladder.size(); index-- > 1;) {
    ladder[index - 1].bytes_per_s = std::max(ladder[index - 1].bytes_per_s, ladder[index].bytes_per_s);
  }
  return ladder;
}

Result<MachineLimits> measure_once(std::int32_t n_threads, std::size_t largest_read, const InterruptFlag* interrupt) {
  const LimitLoops loops = best_limit_loops();
  CpuShare share;
  MachineLimits limits;
  limits.n_threads = n_threads > 0 ? n_threads : n_usable_cpus();
  limits.instruction_set = loops.instruction_set;
  MemoryAccount account;
  SS_TRY(const HostBuffer buffer, make_touched_buffer(account, largest_read, HugePages::kAdvise));
  limits.reads = measure_read_ladder(loops, buffer.as<const std::byte>(), limits.n_threads, share, interrupt);
  const auto peak = [&](const LimitLoop& loop) {
    return steady_best(interrupt, [&] { return measure_compute(loop, limits.n_threads, 1, &share).best; });
  };
  limits.f32_flops = peak(loops.f32);
  const auto add_peak = [&](std::optional<double>& limit, const std::vector<InstructionLoop>& loops_of_type) {
    for (const InstructionLoop& one : loops_of_type) limit = std::max(limit.value_or(0), peak(one.loop));
  };
  add_peak(limits.bf16_flops, loops.bf16);
  add_peak(limits.int8_ops, loops.int8);
  add_peak(limits.int4_ops, loops.int4);
  if (interrupt != nullptr) SS_TRY_VOID(interrupt->check());
  limits.disturbed = std::max(
      0.0, 1 - static_cast<double>(share.cpu_ns) / static_cast<double>(std::max<std::int64_t>(1, share.wall_ns)));
  return limits;
}

}  // namespace

Result<MachineLimits> measure_machine_limits(std::int32_t n_threads, const std::vector<std::int32_t>& cpus,
                                             const HostFiles& files, WhenDisturbed when_disturbed,
                                             const InterruptFlag* interrupt) {
  const int n_most_again = when_disturbed == WhenDisturbed::kMeasureAgain ? kMostRemeasurements : 0;
  const auto largest_read = static_cast<std::size_t>(read_buffer_sizes(files).largest);
  Result<MachineLimits> limits = MachineLimits();
  on_cpus(cpus, [&] {
    limits = measure_once(n_threads, largest_read, interrupt);
    const std::int64_t until_ns = now_ns() + kRemeasureForNs;
    for (int n_more = 0; limits && limits->disturbed > kLimitsDisturbed && n_more < n_most_again; ++n_more) {
      if (now_ns() >= until_ns || is_stopped(interrupt)) break;
      const Result<MachineLimits> again = measure_once(n_threads, largest_read, interrupt);
      if (again) limits = add_look({.best = *limits, .second = {}}, *again).best;
    }
  });
  const Result<std::string> cpuinfo = files.read("proc/cpuinfo");
  const bool cpu_has_amx = cpuinfo && cpuinfo->find("amx_tile") != std::string::npos;
  if (limits && cpu_has_amx && !best_limit_loops().has_amx) limits->unmeasured = "AMX";
  return limits;
}

}  // namespace secondsource
