#include "host/limit_looks.h"

#include <algorithm>
#include <optional>

#include "record/roofline.h"

namespace secondsource {
namespace {

constexpr double kAgreement = 0.05;

/// Keeps the best and the second best of the values. A value equal to one of them is ignored: it is the same look, read
/// from another file, and must not confirm itself.
void take(double& best, double& second, double value) {
  if (value == best || value == second) return;
  second = std::max(second, std::min(best, value));
  best = std::max(best, value);
}

void take(std::optional<double>& best, std::optional<double>& second, std::optional<double> value) {
  if (!value) return;
  double best_value = best.value_or(0);
  double second_value = second.value_or(0);
  take(best_value, second_value, *value);
  best = best_value;
  second = second_value;
}

bool has_same_buffers(const MachineLimits& a, const MachineLimits& b) {
  return std::ranges::equal(a.reads, b.reads, {}, &ReadLimit::buffer_bytes, &ReadLimit::buffer_bytes);
}

/// A look of the same kind that measured nothing.
MachineLimits nothing_of(const MachineLimits& look) {
  MachineLimits nothing;
  nothing.n_threads = look.n_threads;
  nothing.instruction_set = look.instruction_set;
  for (const ReadLimit& read : look.reads) nothing.reads.push_back({read.buffer_bytes, 0});
  return nothing;
}

}  // namespace

LimitLooks add_look(LimitLooks looks, const MachineLimits& look) {
  if (looks.best.n_threads == 0) return {.best = look, .second = nothing_of(look)};
  if (!has_same_buffers(looks.best, looks.second)) looks.second = nothing_of(looks.best);
  if (has_same_buffers(looks.best, look)) {
    for (std::size_t index = 0; index < look.reads.size(); ++index) {
      take(looks.best.reads[index].bytes_per_s, looks.second.reads[index].bytes_per_s, look.reads[index].bytes_per_s);
    }
  }
  take(looks.best.f32_flops, looks.second.f32_flops, look.f32_flops);
  take(looks.best.bf16_flops, looks.second.bf16_flops, look.bf16_flops);
  take(looks.best.int8_ops, looks.second.int8_ops, look.int8_ops);
  take(looks.best.int4_ops, looks.second.int4_ops, look.int4_ops);
  looks.best.disturbed = std::min(looks.best.disturbed, look.disturbed);
  return looks;
}

bool adds_to(const LimitLooks& looks, const MachineLimits& look) {
  if (looks.best.n_threads == 0) return true;
  const LimitLooks after = add_look(looks, look);
  const auto differs = [](const MachineLimits& a, const MachineLimits& b) {
    return a.f32_flops != b.f32_flops || a.bf16_flops != b.bf16_flops || a.int8_ops != b.int8_ops ||
           a.int4_ops != b.int4_ops ||
           !std::ranges::equal(a.reads, b.reads, {}, &ReadLimit::bytes_per_s, &ReadLimit::bytes_per_s);
  };
  return differs(after.best, looks.best) || differs(after.second, looks.second);
}

bool is_settled(const LimitLooks& looks) {
  if (looks.best.n_threads == 0 || !has_same_buffers(looks.best, looks.second)) return false;
  const auto agree = [](double best, double second) { return best > 0 && second >= (1 - kAgreement) * best; };
  const auto agree_if_measured = [&](const std::optional<double>& best, const std::optional<double>& second) {
    return !best || agree(*best, second.value_or(0));
  };
  return looks.best.disturbed <= kLimitsDisturbed && agree(looks.best.f32_flops, looks.second.f32_flops) &&
         agree_if_measured(looks.best.bf16_flops, looks.second.bf16_flops) &&
         agree_if_measured(looks.best.int8_ops, looks.second.int8_ops) &&
         agree_if_measured(looks.best.int4_ops, looks.second.int4_ops) &&
         std::ranges::equal(looks.best.reads, looks.second.reads, agree, &ReadLimit::bytes_per_s,
                            &ReadLimit::bytes_per_s);
}

MachineLimits look_of(const MachineMoment& moment, const MachineLimits& limits) {
  MachineLimits look;
  look.n_threads = limits.n_threads;
  look.instruction_set = limits.instruction_set;
  look.f32_flops = moment.f32_flops;
  look.disturbed = 1;  // a moment does not record whether other processes used the CPUs
  for (const ReadLimit& read : limits.reads) {
    const bool was_measured = read.buffer_bytes == moment.buffer_bytes;
    look.reads.push_back({read.buffer_bytes, was_measured ? moment.read_bytes_per_s : 0});
  }
  return look;
}

}  // namespace secondsource
