#include "host/machine_limits.h"

#include <algorithm>
#include <functional>

#include "host/cache_size.h"
#include "host/limit_details.h"
#include "host/limit_loops.h"
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

TEST_CASE("an interrupt ends the measurement of the limits, which has no result then") {
  InterruptFlag interrupt;
  interrupt.request();
  CHECK_ERROR(measure_machine_limits(2, {}, HostFiles(), WhenDisturbed::kMeasureAgain, &interrupt),
              ErrorCode::kInterrupted, "interrupted");
}

TEST_CASE(
    "every instruction that Linux says this CPU multiplies by has a loop, and those with registers make the limit") {
  const LimitLoops loops = best_limit_loops();
  const Result<std::string> cpuinfo = HostFiles().read("proc/cpuinfo");
  REQUIRE_OK(cpuinfo);
  const auto has_flag = [&](const std::string& flag) { return cpuinfo->find(" " + flag + " ") != std::string::npos; };
  const auto has_loop = [](const std::vector<InstructionLoop>& of_type, const std::string& name) {
    return std::ranges::any_of(of_type, [&](const InstructionLoop& one) { return one.name == name; });
  };
  const bool has_avx512 = has_flag("avx512f");
  CHECK(has_loop(loops.bf16, "vdpbf16ps") == (has_avx512 && has_flag("avx512_bf16")));
  CHECK(has_loop(loops.int8, "vpmaddwd, 256 bits") == (has_flag("avx2") && has_flag("fma")));
  CHECK(has_loop(loops.int8, "vpmaddwd, 512 bits") == (has_avx512 && has_flag("avx512bw")));
  CHECK(has_loop(loops.int8, "vpdpbusd, 512 bits") == (has_avx512 && has_flag("avx512_vnni")));
  CHECK(has_loop(loops.int8, "vpdpbusd, 256 bits") == has_flag("avx_vnni"));
  // On CPUs without AVX-512 vpmaddubsw multiplies int4-w8a8.
  CHECK(has_loop(loops.int4, "vpmaddubsw, 256 bits") == (has_flag("avx2") && has_flag("fma") && !has_avx512));
  CHECK(has_loop(loops.others, "FP16 multiply-adds") == (has_avx512 && has_flag("avx512_fp16")));
  // Linux may refuse AMX to a process on a CPU that has it.
  CHECK(has_loop(loops.bf16, "AMX BF16, registers") == loops.has_amx);
  CHECK(has_loop(loops.others, "AMX INT8, from L2") == loops.has_amx);
  if (!has_flag("amx_tile")) CHECK_FALSE(loops.has_amx);
  for (const InstructionLoop& one : loops.others) CHECK(one.is_peak != std::string(one.name).starts_with("AMX"));
  const auto limits = measure_machine_limits(1, {}, HostFiles());
  REQUIRE_OK(limits);
  CHECK(limits->bf16_flops.has_value() == !loops.bf16.empty());
  CHECK(limits->int8_ops.has_value() == !loops.int8.empty());
  CHECK(limits->int4_ops.has_value() == !loops.int4.empty());
  CHECK(limits->unmeasured == (has_flag("amx_tile") && !loops.has_amx ? "AMX" : ""));
}

TEST_CASE("details have every kind of read for each thread count, and operations of one thread and of all") {
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
  CHECK(threads_of(*details, "f32 multiply-adds") == std::vector{1, 3});
  const LimitLoops loops = best_limit_loops();
  for (const auto* const of_type : {&loops.bf16, &loops.int8, &loops.others}) {
    for (const InstructionLoop& one : *of_type) CHECK(threads_of(*details, one.name) == std::vector{1, 3});
  }
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
