#include "measure/machine_limits.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "backend/host_memory.h"
#include "core/checked.h"
#include "core/clock.h"
#include "measure/limit_loops.h"

namespace secondsource {
namespace {

// Long enough that starting the threads does not count.
constexpr std::int64_t kComputeStepsPerRun = 2'000'000;

int available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

/// Wall time of body(thread) on all threads, from a common start to the last end.
std::int64_t time_threads(int n_threads, const std::function<float(int)>& body) {
  std::atomic<int> n_ready{0};
  std::atomic<bool> go{false};
  std::vector<std::int64_t> ended_at_ns(static_cast<std::size_t>(n_threads));
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(n_threads));
  for (int thread = 0; thread < n_threads; ++thread) {
    threads.emplace_back([&, thread] {
      n_ready.fetch_add(1);
      while (!go.load()) std::this_thread::yield();
      volatile float sink = body(thread);
      (void)sink;
      ended_at_ns[static_cast<std::size_t>(thread)] = now_ns();
    });
  }
  while (n_ready.load() < n_threads) std::this_thread::yield();
  const std::int64_t started_at_ns = now_ns();
  go.store(true);
  for (std::thread& thread : threads) thread.join();
  return *std::ranges::max_element(ended_at_ns) - started_at_ns;
}

LimitSamples summarize(std::vector<double> rates) {
  std::ranges::sort(rates);
  return {.best = rates.back(), .median = rates[rates.size() / 2]};
}

LimitSamples measure_read(const LimitLoops& loops, std::span<const std::byte> bytes, int n_threads, int n_repetitions) {
  const std::size_t part = bytes.size() / static_cast<std::size_t>(n_threads) / 256 * 256;
  std::vector<double> rates;
  for (int i = 0; i < n_repetitions; ++i) {
    const std::int64_t ns = time_threads(n_threads, [&](int thread) {
      return loops.read(bytes.data() + static_cast<std::size_t>(thread) * part, part);
    });
    rates.push_back(1e9 * static_cast<double>(part) * n_threads / static_cast<double>(std::max<std::int64_t>(1, ns)));
  }
  return summarize(std::move(rates));
}

LimitSamples measure_compute(const LimitLoop& loop, int n_threads, int n_repetitions) {
  std::vector<double> rates;
  for (int i = 0; i < n_repetitions; ++i) {
    const std::int64_t ns = time_threads(n_threads, [&](int) { return loop.run(kComputeStepsPerRun); });
    rates.push_back(1e9 * loop.operations_per_step * static_cast<double>(kComputeStepsPerRun) * n_threads /
                    static_cast<double>(std::max<std::int64_t>(1, ns)));
  }
  return summarize(std::move(rates));
}

/// A buffer with memory behind every page.
Result<HostBuffer> make_buffer(MemoryAccount& account, std::size_t bytes, HugePages huge_pages) {
  SS_TRY(HostBuffer buffer, HostBuffer::allocate(account, MemoryPurpose::kRuntime, bytes, huge_pages));
  // Where huge pages are the default, small ones have to be asked for.
  if (huge_pages == HugePages::kNo) (void)madvise(buffer.data(), buffer.size_bytes(), MADV_NOHUGEPAGE);
  std::memset(buffer.data(), 0, buffer.size_bytes());
  return buffer;
}

}  // namespace

Result<MachineLimits> measure_machine_limits(const MachineLimitsOptions& options) {
  constexpr std::size_t kMinBytes = std::size_t{1} << 20;
  if (options.n_threads < 0 || options.n_repetitions < 1 || options.buffer_bytes < kMinBytes) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("machine limits: expected threads >= 0, repetitions >= 1 and at least {} bytes, found {}, {} "
                    "and {}",
                    kMinBytes, options.n_threads, options.n_repetitions, options.buffer_bytes)};
  }
  const LimitLoops loops = best_limit_loops();
  MachineLimits limits;
  limits.n_threads = options.n_threads > 0 ? options.n_threads : available_cpus();
  limits.instruction_set = loops.instruction_set;
  limits.buffer_bytes = round_up(options.buffer_bytes, std::size_t{1} << 20);
  MemoryAccount account;
  {
    SS_TRY(const HostBuffer small, make_buffer(account, limits.buffer_bytes, HugePages::kNo));
    limits.read_1_small = measure_read(loops, small.as<const std::byte>(), 1, options.n_repetitions);
    limits.read_all_small = measure_read(loops, small.as<const std::byte>(), limits.n_threads, options.n_repetitions);
  }
  {
    SS_TRY(const HostBuffer huge, make_buffer(account, limits.buffer_bytes, HugePages::kAdvise));
    limits.read_1_huge = measure_read(loops, huge.as<const std::byte>(), 1, options.n_repetitions);
    limits.read_all_huge = measure_read(loops, huge.as<const std::byte>(), limits.n_threads, options.n_repetitions);
  }
  limits.f32_1 = measure_compute(loops.f32, 1, options.n_repetitions);
  limits.f32_all = measure_compute(loops.f32, limits.n_threads, options.n_repetitions);
  if (loops.bf16.run != nullptr) {
    limits.bf16_1 = measure_compute(loops.bf16, 1, options.n_repetitions);
    limits.bf16_all = measure_compute(loops.bf16, limits.n_threads, options.n_repetitions);
  }
  if (loops.int8.run != nullptr) {
    limits.int8_1 = measure_compute(loops.int8, 1, options.n_repetitions);
    limits.int8_all = measure_compute(loops.int8, limits.n_threads, options.n_repetitions);
  }
  return limits;
}

}  // namespace secondsource
