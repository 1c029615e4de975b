#include "row_counters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/enum_names.h"
#include "core/variant_name.h"
#include "record/limit_share.h"
#include "record/roofline.h"
#include "stats/quantile.h"

namespace secondsource::kernel_bench {
namespace {

/// The highest rate of operations/s for products of this dtype. f16 is multiplied in f32, or as BF16 pieces, which takes three products.
/// Attention over an int8 cache (i8) may turn queries into whole numbers of 16 bits: vpmaddwd multiplies them in one product, and the
/// instructions for int8 in two. The int8 rate is that of vpmaddwd exactly where codes of four bits are faster than int8.
std::optional<double> peak_of(const MachineLimits& limits, std::string_view dtype) {
  if (!limits.unmeasured.empty()) return std::nullopt;
  if (dtype == "f32") return limits.f32_flops;
  if (dtype == "i8") {
    const double int8 = limits.int8_ops.value_or(0);
    const double n_products = limits.int4_ops.value_or(0) > int8 ? 1 : 2;
    return std::max({limits.f32_flops, limits.bf16_flops.value_or(0), int8 / n_products});
  }
  if (dtype == "f16") return std::max(limits.f32_flops, limits.bf16_flops.value_or(0) / 3);
  return operations_limit(limits, dtype);
}

/// The shares of both limits at this many operations of the row per second.
RooflineUse use_of(double per_s, const OperationWork& work, const RateLimits& limits) {
  RooflineUse use;
  if (limits.read_bytes_per_s) use.read = per_s * work.bytes / *limits.read_bytes_per_s;
  if (limits.operations_per_s) use.operations = per_s * work.flops / *limits.operations_per_s;
  return use;
}

}  // namespace

std::optional<double> relative_mad(std::span<const double> samples) {
  const std::optional<double> middle = median(samples);
  if (samples.size() < kMinRepetitions || *middle == 0) return std::nullopt;
  std::vector<double> deviations;
  for (const double sample : samples) deviations.push_back(std::fabs(sample - *middle));
  return *median(deviations) / *middle;
}

RateLimits host_rate_limits(const MachineLimits& limits, const MachineMoment& before, const MachineMoment& after,
                            const OperationWork& work, std::string_view dtype) {
  const double f32_flops = std::max(before.f32_flops, after.f32_flops);
  RateLimits now{.read_bytes_per_s = std::max(before.read_bytes_per_s, after.read_bytes_per_s),
                 .operations_per_s = peak_of(limits, dtype)};
  if (work.working_set_bytes < static_cast<double>(before.buffer_bytes)) {
    const std::optional<double> cached = read_limit(limits, work.working_set_bytes);
    now.read_bytes_per_s = std::max(*now.read_bytes_per_s, cached.value_or(0));
  }
  if (now.operations_per_s) *now.operations_per_s *= f32_flops / limits.f32_flops;
  return now;
}

RateLimits device_rate_limits(const std::optional<MachineLimits>& limits, const OperationWork& work,
                              std::string_view dtype) {
  if (!limits) return {};
  // A GPU rounds f32 and FP16 to BF16 on its matrix cores (docs/correctness.md).
  const std::optional<double> peak = peak_of(*limits, multiplies_int8(dtype) ? dtype : "bf16");
  return {.read_bytes_per_s = read_limit(*limits, work.working_set_bytes), .operations_per_s = peak};
}

RowCounters row_counters(std::span<const double> ns_per_operation, const OperationWork& work, const RateLimits& limits,
                         const std::string& kernel) {
  const double median_ns = *median(ns_per_operation);
  const double per_s = 1e9 / median_ns;
  const RooflineUse use = use_of(per_s, work, limits);
  const RooflineUse best = use_of(1e9 / std::ranges::min(ns_per_operation), work, limits);
  RowCounters row{.counters = {{"GB/s", per_s * work.bytes / 1e9},
                               {"GFLOP/s", per_s * work.flops / 1e9},
                               {"us", median_ns / 1e3},
                               {"n", static_cast<double>(ns_per_operation.size())}},
                  .label = kernel};
  const auto add = [&row](const char* name, std::optional<double> value) {
    if (value) row.counters.emplace_back(name, *value);
  };
  add("noise", relative_mad(ns_per_operation));
  add("of_read", use.read);
  add("of_compute", use.operations);
  if (best.read || best.operations) add("best", std::max(best.read.value_or(0), best.operations.value_or(0)));
  if (const std::optional<LimitShare> nearer = nearer_limit(use)) {
    row.label += fmt::format("; limit: {}", to_string(nearer->limit));
  }
  return row;
}

}  // namespace secondsource::kernel_bench
