#include "report/roofline.h"

#include <algorithm>

namespace secondsource {

std::optional<double> read_limit(const RunLimits& limits, double working_set_bytes) {
  if (limits.reads.empty()) return std::nullopt;
  double limit = limits.reads.front().bytes_per_s;
  for (const ReadLimit& read : limits.reads) {
    if (static_cast<double>(read.buffer_bytes) <= working_set_bytes) limit = read.bytes_per_s;
  }
  return limit;
}

std::optional<double> operations_limit(const RunLimits& limits, std::string_view variant) {
  if (!limits.unmeasured.empty() || !(limits.f32_flops > 0)) return std::nullopt;
  double limit = std::max(limits.f32_flops, limits.bf16_flops.value_or(0));
  if (variant == "int8-w8a8") limit = std::max(limit, limits.int8_ops.value_or(0));
  return limit;
}

RooflineUse roofline_use(const StepWork& work, const RunLimits& limits, std::string_view variant) {
  RooflineUse use;
  if (work.n_steps <= 0 || work.ns <= 0) return use;
  const double seconds = 1e-9 * static_cast<double>(work.ns);
  const double bytes = work.weight_bytes + work.kv_bytes;
  const auto read = read_limit(limits, bytes / static_cast<double>(work.n_steps));
  if (read && bytes > 0) use.read = bytes / seconds / *read;
  const auto operations = operations_limit(limits, variant);
  if (operations && work.flops > 0) use.operations = work.flops / seconds / *operations;
  return use;
}

StepWork all_steps(const Repetition& repetition) {
  StepWork sum;
  for (const StepWork* part : {&repetition.prefill, &repetition.decode, &repetition.mixed}) {
    sum.n_steps += part->n_steps;
    sum.tokens += part->tokens;
    sum.ns += part->ns;
    sum.flops += part->flops;
    sum.weight_bytes += part->weight_bytes;
    sum.kv_bytes += part->kv_bytes;
  }
  return sum;
}

}  // namespace secondsource
