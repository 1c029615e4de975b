#include "host/machine_limits.h"

#include <algorithm>

#include "support/result.h"

using namespace secondsource;

TEST_CASE("the limits of this machine have every part, and hang together") {
  const auto limits =
      measure_machine_limits({.n_threads = 3, .buffer_bytes = std::size_t{8} << 20, .n_repetitions = 2});
  REQUIRE_OK(limits);
  CHECK(limits->n_threads == 3);
  for (const LimitSamples* samples : {&limits->read_1_small, &limits->read_1_huge, &limits->read_all_small,
                                      &limits->read_all_huge, &limits->f32_1, &limits->f32_all}) {
    CHECK(samples->median > 0);
    CHECK(samples->best >= samples->median);
  }
  REQUIRE(limits->read_1_mapped);
  CHECK(limits->read_1_mapped->best > 0);
  REQUIRE(limits->read_huge.size() == 3);
  CHECK(limits->read_huge[0].n_threads == 1);
  CHECK(limits->read_huge[1].n_threads == 2);
  CHECK(limits->read_huge[2].n_threads == 3);
  // No buffer is larger than the allocated memory, and a smaller buffer is never read more slowly.
  REQUIRE(limits->read_sizes.size() == 6);
  CHECK(limits->read_sizes.front().buffer_bytes == 256 << 10);
  CHECK(limits->read_sizes.back().buffer_bytes == 8 << 20);
  CHECK(std::is_sorted(limits->read_sizes.begin(), limits->read_sizes.end(),
                       [](const ReadLimit& a, const ReadLimit& b) { return a.bytes_per_s > b.bytes_per_s; }));
  REQUIRE(limits->barrier_ns);
  CHECK(limits->barrier_ns->best > 0);
  CHECK(limits->barrier_ns->best <= limits->barrier_ns->median);
}

TEST_CASE("one thread has no barrier") {
  const auto limits =
      measure_machine_limits({.n_threads = 1, .buffer_bytes = std::size_t{1} << 20, .n_repetitions = 1});
  REQUIRE_OK(limits);
  CHECK_FALSE(limits->barrier_ns);
  CHECK(limits->read_huge.size() == 1);
}

TEST_CASE("limits of no buffer, no repetition or fewer than no threads are refused") {
  CHECK_ERROR(measure_machine_limits({.buffer_bytes = 1}), ErrorCode::kInvalidInput, "at least 1048576 bytes");
  CHECK_ERROR(measure_machine_limits({.n_repetitions = 0}), ErrorCode::kInvalidInput, "repetitions >= 1");
  CHECK_ERROR(measure_machine_limits({.n_threads = -1}), ErrorCode::kInvalidInput, "threads >= 0");
}
