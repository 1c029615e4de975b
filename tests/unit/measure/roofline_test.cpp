// Tests how near steps came to the machine's limits: the shares of read rates and peaks, which of them bounds a cell, and the check that
// calls a speed above a limit INVALID.

#include "record/roofline.h"

#include "measure/limit_checks.h"
#include "support/catch.h"
#include "support/milliseconds.h"

namespace secondsource {
namespace {

using enum CheckOutcome;
using test::kMs;

/// 90 decode steps of 10 ms that read 100 MB each, and one prefill step of 50 ms with 10 Gflop.
Repetition bandwidth_bound() {
  Repetition repetition;
  repetition.window_end_ns = 1'000'000'000;
  repetition.window_output_tokens = 90;
  repetition.decode = {
      .n_steps = 90, .tokens = 90, .ns = 900 * kMs, .flops = 9e9, .weight_bytes = 8.1e9, .kv_bytes = 0.9e9};
  repetition.prefill = {.n_steps = 1, .tokens = 100, .ns = 50 * kMs, .flops = 1e10, .weight_bytes = 1e8, .kv_bytes = 0};
  return repetition;
}

/// 12 GB/s from memory, 100 GB/s from the cache; 250 GFLOP/s.
MachineLimits two_level_machine() {
  MachineLimits limits;
  limits.n_threads = 2;
  limits.reads = {{1 << 20, 100e9}, {64 << 20, 12e9}};
  limits.f32_flops = 120e9;
  limits.bf16_flops = 250e9;
  limits.int8_ops = 500e9;
  return limits;
}

TEST_CASE("shares of the roofline are those of the memory that the working set fits in") {
  const MachineLimits limits = two_level_machine();
  Repetition repetition = bandwidth_bound();
  // 9 GB in 0.9 s are 10 GB/s; the limit is 12.
  CHECK(*roofline_use(repetition.decode, limits, "bf16").read == Approx(10.0 / 12.0));
  // 10 Gflop in 50 ms are 200 Gflop/s; the limit is 250.
  CHECK(*roofline_use(repetition.prefill, limits, "bf16").operations == Approx(0.8));
  CHECK(*roofline_use(repetition.prefill, limits, "int8-w8a8").operations == Approx(0.4));
  CHECK(*roofline_use(repetition.prefill, limits, "int4-w8a8").operations == Approx(0.4));
  // Without BF16, three digits in int8 may be faster than f32; f16 and E4M3 have no digits.
  MachineLimits without_bf16 = limits;
  without_bf16.instruction_set = "avx512";
  without_bf16.bf16_flops = std::nullopt;
  for (const char* const variant : {"int8", "int8-g32", "int4", "gguf-q4_k", "gptq-int4-g128", "mxfp4"}) {
    CAPTURE(variant);
    CHECK(*roofline_use(repetition.prefill, without_bf16, variant).operations == Approx(1.2));
  }
  for (const char* const variant : {"f32", "bf16", "f16", "gguf-bf16", "fp8", "fp8-fp8-block128-w8a16"}) {
    CAPTURE(variant);
    CHECK(*roofline_use(repetition.prefill, without_bf16, variant).operations == Approx(200.0 / 120.0));
  }
  // GPU kernels never multiply digits, so a high int8 rate does not raise the peak of int4 on a GPU.
  MachineLimits gpu = limits;
  gpu.instruction_set = "sm_89";
  gpu.int8_ops = 1000e9;
  CHECK(*roofline_use(repetition.prefill, gpu, "int4").operations == Approx(0.8));
  // Codes of four bits may be multiplied faster than int8.
  without_bf16.int4_ops = 750e9;
  CHECK(*roofline_use(repetition.prefill, without_bf16, "int4-w8a8").operations == Approx(200.0 / 750.0));
  CHECK(*roofline_use(repetition.prefill, without_bf16, "int4").operations == Approx(200.0 / 250.0));
  CHECK(*roofline_use(repetition.prefill, without_bf16, "int8-w8a8").operations == Approx(0.4));
  CHECK(*roofline_use(repetition.prefill, without_bf16, "int8").operations == Approx(1.2));
  // A model of 2 MB stays in the cache.
  repetition.decode.weight_bytes = 2e6 * 90;
  repetition.decode.kv_bytes = 0;
  CHECK(*roofline_use(repetition.decode, limits, "bf16").read == Approx(2e6 * 90 / 0.9 / 100e9));
  MachineLimits amx = limits;
  amx.unmeasured = "AMX";
  CHECK_FALSE(roofline_use(repetition.prefill, amx, "bf16").operations);
  CHECK_FALSE(roofline_use(StepWork{}, limits, "bf16").read);
}

TEST_CASE("the limit that bounds steps is the nearer one, and is said to be unknown where one of the two is") {
  const MachineLimits limits = two_level_machine();
  const Repetition repetition = bandwidth_bound();
  const auto nearer = [&](const StepWork& work) { return nearer_limit(roofline_use(work, limits, "bf16")); };
  CHECK(nearer(repetition.decode)->limit == LimitKind::kRead);
  CHECK(nearer(repetition.decode)->share == Approx(10.0 / 12.0));
  CHECK(nearer(repetition.prefill)->limit == LimitKind::kCompute);
  CHECK(nearer(repetition.prefill)->share == Approx(0.8));
  // Decode of a large batch: 180 Gflop in 0.9 s are 200 Gflop/s; the limit is 250.
  StepWork batch = repetition.decode;
  batch.flops = 180e9;
  batch.weight_bytes = 1e9;
  batch.kv_bytes = 0;
  CHECK(nearer(batch)->limit == LimitKind::kCompute);
  CHECK(nearer(batch)->share == Approx(0.8));
  CHECK_FALSE(nearer(StepWork{}));
  MachineLimits amx = limits;
  amx.unmeasured = "AMX";
  CHECK_FALSE(nearer_limit(roofline_use(repetition.decode, amx, "bf16")));
  // A part of a step is read from the memory level that holds the data of the whole step.
  const StepWork part{.n_steps = 10, .ns = 1'000'000'000, .flops = 1, .weight_bytes = 6e9};
  CHECK(*roofline_use(part, limits, "bf16", 1e9).read == Approx(0.5));
  CHECK(*roofline_use(part, limits, "bf16", 2e6).read == Approx(0.06));
}

TEST_CASE("a cell is bound by the limit of which more than half is reached, or by fixed costs") {
  const MachineLimits limits = two_level_machine();
  const Repetition repetition = bandwidth_bound();
  const Bound decode = bound_of(repetition.decode, limits, "bf16", "decode");
  CHECK(decode.bottleneck == Bottleneck::kBandwidth);
  CHECK(decode.why.starts_with("decode reads at 83 % of what the machine can and computes at 4 %"));
  CHECK(bound_of(repetition.prefill, limits, "bf16", "prefill").bottleneck == Bottleneck::kCompute);
  StepWork slow = repetition.decode;
  slow.ns *= 4;
  CHECK(bound_of(slow, limits, "bf16", "decode").bottleneck == Bottleneck::kOverhead);
  CHECK(bound_of(StepWork{}, limits, "bf16", "decode").bottleneck == Bottleneck::kUnknown);
  // The steps reach 21 % of the read limit. If others took three quarters of the CPUs, they could have reached 83 % alone; if
  // others took a tenth, only 23 %.
  CHECK(bound_of(slow, limits, "bf16", "decode", 0.75).bottleneck == Bottleneck::kUnknown);
  CHECK(bound_of(slow, limits, "bf16", "decode", 0.75).why.find("other processes took 75 % of the CPUs") !=
        std::string::npos);
  CHECK(bound_of(slow, limits, "bf16", "decode", 0.1).bottleneck == Bottleneck::kOverhead);
}

TEST_CASE("a speed above what the machine can do is invalid, at it is not") {
  MachineLimits again = two_level_machine();
  again.reads[1].bytes_per_s = 11.8e9;
  again.f32_flops = 119e9;
  again.bf16_flops = 248e9;
  again.int8_ops = 495e9;
  const LimitLooks looks{.best = two_level_machine(), .second = again};
  CHECK(check_roofline(bandwidth_bound(), &looks, "bf16").outcome == kPassed);
  Repetition too_fast = bandwidth_bound();
  too_fast.decode.ns = 700 * kMs;  // 12.9 GB/s
  const CheckRecord check = check_roofline(too_fast, &looks, "bf16");
  CHECK(check.outcome == kInvalid);
  CHECK(check.detail == "decode at 107 % of the read rate that this machine has at best");
  Repetition too_many_operations = bandwidth_bound();
  too_many_operations.prefill.ns = 30 * kMs;
  CHECK(check_roofline(too_many_operations, &looks, "bf16").outcome == kInvalid);
  CHECK(check_roofline(too_many_operations, &looks, "int8-w8a8").outcome == kPassed);
  CHECK(check_roofline(too_fast, nullptr, "bf16").outcome == kNotAvailable);
  CHECK(check_roofline(Repetition(), &looks, "bf16").outcome == kNotAvailable);

  // An uncertain limit makes nothing INVALID: one measured while others used the CPUs, only once, or twice with different results.
  LimitLooks of_a_busy_machine = looks;
  of_a_busy_machine.best.disturbed = 0.3;
  CHECK(check_roofline(too_fast, &of_a_busy_machine, "bf16").outcome == kSuspect);
  LimitLooks once = looks;
  once.second.reads[1].bytes_per_s = 0;
  CHECK(check_roofline(too_fast, &once, "bf16").outcome == kSuspect);
  CHECK(check_roofline(too_fast, &once, "bf16").detail.ends_with("; but that limit was measured only once"));
  LimitLooks unlike = looks;
  unlike.second.reads[1].bytes_per_s = 10e9;
  CHECK(check_roofline(too_fast, &unlike, "bf16").outcome == kSuspect);
  CHECK(check_roofline(too_fast, &unlike, "bf16")
            .detail.ends_with("; but the two best looks at that limit differ by 20 %"));
}

}  // namespace
}  // namespace secondsource
