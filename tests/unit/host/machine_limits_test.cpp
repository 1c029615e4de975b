#include "host/machine_limits.h"

#include <algorithm>
#include <functional>

#include "host/cache_size.h"
#include "host/limit_details.h"
#include "support/result.h"

using namespace secondsource;

namespace {

std::vector<int> threads_of(const LimitDetails& details, const std::string& name) {
  std::vector<int> counts;
  for (const DetailedRate& rate : details.rates) {
    if (rate.name == name) counts.push_back(rate.n_threads);
  }
  return counts;
}

}  // namespace

TEST_CASE("the limits of this machine have a rate for each buffer size and a peak") {
  const auto limits = measure_machine_limits(2, {}, HostFiles());
  REQUIRE_OK(limits);
  CHECK(limits->n_threads == 2);
  CHECK_FALSE(limits->instruction_set.empty());
  CHECK(limits->f32_flops > 0);
  const ReadBufferSizes sizes = read_buffer_sizes(HostFiles());
  REQUIRE(limits->reads.size() >= 11);
  CHECK(limits->reads.front().buffer_bytes == 256 << 10);
  CHECK(limits->reads.back().buffer_bytes == sizes.largest);
  CHECK(std::ranges::count(limits->reads, sizes.probe, &ReadLimit::buffer_bytes) == 1);
  // A smaller buffer is never slower to read.
  CHECK(std::ranges::is_sorted(limits->reads, std::ranges::greater(), &ReadLimit::bytes_per_s));
}

TEST_CASE("details have every kind of read for each thread count, and operations of one thread") {
  const auto details =
      measure_limit_details({.n_threads = 3, .buffer_bytes = std::size_t{8} << 20, .n_repetitions = 2});
  REQUIRE_OK(details);
  for (const DetailedRate& rate : details->rates) {
    CAPTURE(rate.name, rate.n_threads);
    CHECK(rate.per_s.median > 0);
    CHECK(rate.per_s.best >= rate.per_s.median);
  }
  CHECK(threads_of(*details, "read, small pages") == std::vector{1, 2, 3});
  CHECK(threads_of(*details, "read, huge pages") == std::vector{1, 2, 3});
  REQUIRE(details->has_mapped_file);
  CHECK(threads_of(*details, "read, mapped file") == std::vector{1, 2, 3});
  CHECK(threads_of(*details, "f32 operations") == std::vector{1});
  REQUIRE(details->barrier_ns);
  CHECK(details->barrier_ns->best > 0);
  CHECK(details->barrier_ns->best <= details->barrier_ns->median);
}

TEST_CASE("one thread has no barrier") {
  const auto details =
      measure_limit_details({.n_threads = 1, .buffer_bytes = std::size_t{1} << 20, .n_repetitions = 1});
  REQUIRE_OK(details);
  CHECK_FALSE(details->barrier_ns);
  CHECK(threads_of(*details, "read, huge pages") == std::vector{1});
}

TEST_CASE("details of no buffer, no repetition or fewer than no threads are refused") {
  CHECK_ERROR(measure_limit_details({.buffer_bytes = 1}), ErrorCode::kInvalidInput, "at least 1048576 bytes");
  CHECK_ERROR(measure_limit_details({.n_repetitions = 0}), ErrorCode::kInvalidInput, "repetitions >= 1");
  CHECK_ERROR(measure_limit_details({.n_threads = -1}), ErrorCode::kInvalidInput, "threads >= 0");
}
