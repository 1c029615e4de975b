#include "background_load.h"

#include <cstddef>
#include <random>

#include "backend_kit/host_device.h"
#include "core/clock.h"

namespace secondsource {

BackgroundLoad::BackgroundLoad(LoadKind kind) {
  const int n_threads = kind == LoadKind::kNone ? 0 : kind == LoadKind::kBursts ? 1 : n_usable_cpus();
  for (int thread = 0; thread < n_threads; ++thread) {
    threads_.emplace_back([this, kind] { work(kind == LoadKind::kBursts); });
  }
}

BackgroundLoad::~BackgroundLoad() {
  done_ = true;
  for (std::thread& thread : threads_) thread.join();
}

void BackgroundLoad::work(bool in_bursts) {
  constexpr std::size_t kWords = std::size_t{8} << 20;  // 64 MiB, so that the memory is shared as well
  std::vector<std::uint64_t> words(kWords, 1);
  std::mt19937_64 random(1);
  std::uniform_int_distribution<std::int64_t> burst_ns(100'000'000, 1'000'000'000);
  std::uint64_t sum = 0;
  while (!done_) {
    const std::int64_t until_ns = now_ns() + burst_ns(random);
    while (!done_ && now_ns() < until_ns) {
      for (std::size_t index = 0; index < kWords / 64; ++index) sum += words[(sum + index * 8) % kWords] + index;
    }
    words[sum % kWords] = sum;
    const std::int64_t rested_ns = in_bursts ? now_ns() + burst_ns(random) : 0;
    while (!done_ && now_ns() < rested_ns) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace secondsource
