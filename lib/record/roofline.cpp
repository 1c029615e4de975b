#include "record/roofline.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/variant_name.h"

namespace secondsource {

std::string limits_caveat(const std::optional<MachineLimits>& limits) {
  if (!limits || limits->disturbed <= kLimitsDisturbed) return "";
  return fmt::format(
      "the machine's limits were measured while other processes used the CPUs for {:.0f} % of the time, so the "
      "shares of these limits may be too high",
      100 * limits->disturbed);
}

std::optional<double> read_limit(const MachineLimits& limits, double working_set_bytes) {
  if (limits.reads.empty()) return std::nullopt;
  double limit = limits.reads.front().bytes_per_s;
  for (const ReadLimit& read : limits.reads) {
    if (static_cast<double>(read.buffer_bytes) <= working_set_bytes) limit = read.bytes_per_s;
  }
  return limit;
}

std::optional<double> operations_limit(const MachineLimits& limits, std::string_view variant) {
  if (!limits.unmeasured.empty() || !(limits.f32_flops > 0)) return std::nullopt;
  const double floats = std::max(limits.f32_flops, limits.bf16_flops.value_or(0));
  const double int8 = limits.int8_ops.value_or(0);
  const double integers = has_int4_weights(variant) ? std::max(int8, limits.int4_ops.value_or(0)) : int8;
  if (multiplies_int8(variant)) return std::max(floats, integers);
  // Only the kernels for x86 split activations that are not quantized into three digits of eight bits, and multiply each digit by integer
  // instructions (backends/cpu/README.md, Digits).
  constexpr double kDigits = 3.0;
  const bool may_have_digits = limits.instruction_set.starts_with("avx") && has_integer_weights(variant);
  return may_have_digits ? std::max(floats, integers / kDigits) : floats;
}

RooflineUse roofline_use(const StepWork& work, const MachineLimits& limits, std::string_view variant,
                         std::optional<double> working_set_bytes) {
  RooflineUse use;
  if (work.n_steps <= 0 || work.ns <= 0) return use;
  const double seconds = 1e-9 * static_cast<double>(work.ns);
  const double bytes = work.weight_bytes + work.kv_bytes;
  const auto read = read_limit(limits, working_set_bytes.value_or(bytes / static_cast<double>(work.n_steps)));
  if (read && bytes > 0) use.read = bytes / seconds / *read;
  const auto operations = operations_limit(limits, variant);
  if (operations && work.flops > 0) use.operations = work.flops / seconds / *operations;
  return use;
}

std::optional<LimitShare> nearer_limit(const RooflineUse& use) {
  if (!use.read || !use.operations) return std::nullopt;
  if (*use.read >= *use.operations) return LimitShare{*use.read, LimitKind::kRead};
  return LimitShare{*use.operations, LimitKind::kCompute};
}

Bound bound_of(const StepWork& work, const MachineLimits& limits, std::string_view variant, std::string_view kind,
               double others) {
  constexpr double kBinds = 0.5;
  const RooflineUse use = roofline_use(work, limits, variant);
  if (!use.read) return {};
  const double read = *use.read;
  const double operations = use.operations.value_or(0);
  const std::string figures = use.operations
                                  ? fmt::format("{} reads at {:.0f} % of what the machine can and computes at {:.0f} %",
                                                kind, 100 * read, 100 * operations)
                                  : fmt::format("{} reads at {:.0f} % of what the machine can", kind, 100 * read);
  const double reached = std::max(read, operations);
  if (reached < kBinds && reached >= kBinds * (1 - others)) {
    return {Bottleneck::kUnknown, fmt::format("{}, while other processes took {:.0f} % of the CPUs: so what "
                                              "limits it cannot be told",
                                              figures, 100 * others)};
  }
  const Bottleneck bottleneck = reached < kBinds     ? Bottleneck::kOverhead
                                : read >= operations ? Bottleneck::kBandwidth
                                                     : Bottleneck::kCompute;
  return {bottleneck, fmt::format("{}: {}", figures, consequence_of(bottleneck))};
}

std::string_view consequence_of(Bottleneck bottleneck) {
  switch (bottleneck) {
    case Bottleneck::kBandwidth:
      return "fewer bytes a weight (int8, int4) make it faster in proportion, and more requests at once cost little";
    case Bottleneck::kCompute:
      return "fewer bytes a weight only save memory; what makes it faster are 8-bit products (int8-w8a8, "
             "int8-g32-w8a8, int4-w8a8)";
    case Bottleneck::kOverhead:
      return "fixed costs of each step take the rest of the time: fewer bytes save memory but no time, and more "
             "requests or tokens in a step do save time";
    case Bottleneck::kUnknown:
      return "";
  }
  return "";
}

StepWork all_steps(const Repetition& repetition) {
  StepWork sum = repetition.prefill;
  sum += repetition.decode;
  sum += repetition.mixed;
  return sum;
}

}  // namespace secondsource
