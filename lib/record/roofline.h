#pragma once
// Computes how close steps came to the machine's limits: the bytes that they must read against measured read rates, and
// their operations against measured peaks (Williams, Waterman, Patterson, Roofline, CACM 52, 2009). Both are shares of
// a limit, so a share above one means that the measurement is wrong.

#include <optional>
#include <string>
#include <string_view>

#include "record/records.h"

namespace secondsource {

/// If other processes had the CPUs for more than this share of the time while the limits were measured, the limits may
/// be too low: exceeding them proves nothing, and shares of them are upper bounds.
inline constexpr double kLimitsDisturbed = 0.10;
/// The same as a sentence; empty if the limits were measured undisturbed, or if there are none.
[[nodiscard]] std::string limits_caveat(const std::optional<MachineLimits>& limits);

/// The highest rate in bytes/s for a working set that is read again and again: the rate of the largest measured buffer
/// that is not larger than it, since a smaller buffer is never slower. nullopt without a measurement.
[[nodiscard]] std::optional<double> read_limit(const MachineLimits& limits, double working_set_bytes);

/// The highest rate in operations/s for a variant's products: that of integers if its activations are quantized,
/// otherwise of BF16, f32, or three products of integers for one of a whole number with an activation. nullopt if the
/// CPU has matrix units that were not measured.
[[nodiscard]] std::optional<double> operations_limit(const MachineLimits& limits, std::string_view variant);

struct RooflineUse {
  std::optional<double> read;        ///< share of read_limit()
  std::optional<double> operations;  ///< share of operations_limit()
};

/// The shares of both limits for steps that took `work.ns`; empty if there were none. `working_set_bytes` is what a
/// whole step reads again and again, if `work` is only a part of it; if left out, it is the bytes of `work` per step.
[[nodiscard]] RooflineUse roofline_use(const StepWork& work, const MachineLimits& limits, std::string_view variant,
                                       std::optional<double> working_set_bytes = std::nullopt);

/// The larger of the two shares, whose limit bounds the steps; nullopt if one of them is not known.
[[nodiscard]] std::optional<LimitShare> nearer_limit(const RooflineUse& use);

/// What prevents steps from being faster, and what follows from it.
struct Bound {
  Bottleneck bottleneck = Bottleneck::kUnknown;
  std::string why;  ///< one sentence
};

/// A limit is the bottleneck if more than half of it is reached. If neither is, fixed costs are: starting kernels,
/// barriers, the host between steps. `kind` names the steps in the sentence. `others` is the share of the CPUs that
/// other processes used meanwhile; if a limit would be the bottleneck without them, the result is unknown.
[[nodiscard]] Bound bound_of(const StepWork& work, const MachineLimits& limits, std::string_view variant,
                             std::string_view kind, double others = 0);

/// The consequence of a bottleneck, in a sentence: whether fewer bytes per weight make steps faster or only save
/// memory.
[[nodiscard]] std::string_view consequence_of(Bottleneck bottleneck);

/// The sum of prefill, decode and mixed steps.
[[nodiscard]] StepWork all_steps(const Repetition& repetition);

}  // namespace secondsource
