#include "host/limit_timing.h"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

#include "core/clock.h"

namespace secondsource {
namespace {

// Long enough that the start of the threads does not count.
constexpr std::int64_t kComputeStepsPerRun = 2'000'000;

LimitSamples summarize(std::vector<double> rates) {
  std::ranges::sort(rates);
  return {.best = rates.back(), .median = rates[rates.size() / 2]};
}

}  // namespace

void on_cpus(const std::vector<std::int32_t>& cpus, const std::function<void()>& body) {
  std::exception_ptr failed;
  std::thread([&] {
    if (!cpus.empty()) {
      cpu_set_t set;
      CPU_ZERO(&set);
      for (const std::int32_t cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
      (void)sched_setaffinity(0, sizeof set, &set);  // workers refuse missing CPUs at their start
    }
    try {
      body();
    } catch (...) {
      failed = std::current_exception();
    }
  }).join();
  if (failed) std::rethrow_exception(failed);
}

std::int64_t time_threads(int n_threads, const std::function<float(int)>& body, CpuShare* share) {
  std::atomic<int> n_ready{0};
  std::atomic<bool> go{false};
  std::vector<std::int64_t> ended_at_ns(static_cast<std::size_t>(n_threads));
  std::atomic<bool> is_given_up{false};
  // Joins what was started when starting the next thread throws.
  std::vector<std::jthread> threads;
  threads.reserve(static_cast<std::size_t>(n_threads));
  const auto start = [&](int thread) {
    threads.emplace_back([&, thread] {
      n_ready.fetch_add(1);
      while (!go.load()) std::this_thread::yield();
      if (is_given_up.load()) return;
      const std::int64_t began_ns = now_ns();
      const std::int64_t cpu_began_ns = thread_cpu_ns();
      volatile float sink = body(thread);
      (void)sink;
      const std::int64_t ended_ns = now_ns();
      ended_at_ns[static_cast<std::size_t>(thread)] = ended_ns;
      if (share == nullptr) return;
      share->wall_ns += ended_ns - began_ns;
      share->cpu_ns += thread_cpu_ns() - cpu_began_ns;
    });
  };
  try {
    for (int thread = 0; thread < n_threads; ++thread) start(thread);
  } catch (const std::system_error&) {
    is_given_up.store(true);
    go.store(true);
    throw;
  }
  while (n_ready.load() < n_threads) std::this_thread::yield();
  const std::int64_t started_at_ns = now_ns();
  go.store(true);
  threads.clear();  // joins them
  return *std::ranges::max_element(ended_at_ns) - started_at_ns;
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

LimitSamples measure_compute(const LimitLoop& loop, int n_threads, int n_repetitions, CpuShare* share) {
  std::vector<double> rates;
  for (int i = 0; i < n_repetitions; ++i) {
    const std::int64_t ns = time_threads(
        n_threads, [&](int) { return loop.run(kComputeStepsPerRun); }, share);
    rates.push_back(1e9 * loop.operations_per_step * static_cast<double>(kComputeStepsPerRun) * n_threads /
                    static_cast<double>(std::max<std::int64_t>(1, ns)));
  }
  return summarize(std::move(rates));
}

Result<HostBuffer> make_touched_buffer(MemoryAccount& account, std::size_t bytes, HugePages huge_pages) {
  SS_TRY(HostBuffer buffer, HostBuffer::allocate(account, MemoryPurpose::kRuntime, bytes, huge_pages));
  // Where transparent huge pages are the default, small pages must be requested.
  if (huge_pages == HugePages::kNo) (void)madvise(buffer.data(), buffer.size_bytes(), MADV_NOHUGEPAGE);
  std::memset(buffer.data(), 0, buffer.size_bytes());
  return buffer;
}

}  // namespace secondsource
