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
/// A sentence that warns of limits that were measured on a busy machine; empty if they were not disturbed or there are
/// none.
[[nodiscard]] std::string limits_caveat(const std::optional<RunLimits>& limits);

/// The best rate in bytes/s for a working set that is read repeatedly: the rate of the largest measured buffer that is
/// not larger than it, since a smaller buffer is never slower. nullopt without a measurement.
[[nodiscard]] std::optional<double> read_limit(const RunLimits& limits, double working_set_bytes);

/// The best rate in operations/s for a variant's matmuls: that of 8-bit integers if its activations are quantized,
/// otherwise that of BF16 or f32. nullopt if the CPU has units that were not measured.
[[nodiscard]] std::optional<double> operations_limit(const RunLimits& limits, std::string_view variant);

struct RooflineUse {
  std::optional<double> read;        ///< share of read_limit()
  std::optional<double> operations;  ///< share of operations_limit()
};

/// The shares that steps reached in `work.ns`; empty if there were no steps. `working_set_bytes` are the bytes that are
/// read repeatedly: those of a whole step, of which `work` may be a part. If absent, the bytes that `work` reads per
/// step are used.
[[nodiscard]] RooflineUse roofline_use(const StepWork& work, const RunLimits& limits, std::string_view variant,
                                       std::optional<double> working_set_bytes = std::nullopt);

/// The larger of the two shares, whose limit bounds the steps; nullopt if one of them is not known.
[[nodiscard]] std::optional<LimitShare> nearer_limit(const RooflineUse& use);

/// What prevents steps from being faster, and what follows from it.
struct Bound {
  Bottleneck bottleneck = Bottleneck::kUnknown;
  std::string why;  ///< one sentence
};

/// Finds the bottleneck of steps. A limit binds if more than half of it is reached; if neither is, fixed costs bind:
/// starting kernels, barriers, the host between steps. `kind` names the steps in the sentence. `others` is the share of
/// the CPUs that other processes took meanwhile; if a limit would bind without them, the bottleneck is unknown.
[[nodiscard]] Bound bound_of(const StepWork& work, const RunLimits& limits, std::string_view variant,
                             std::string_view kind, double others = 0);

/// The consequence of a bottleneck, in a sentence: whether fewer bytes per weight make steps faster or only save
/// memory.
[[nodiscard]] std::string_view consequence_of(Bottleneck bottleneck);

/// The sum of prefill, decode and mixed steps.
[[nodiscard]] StepWork all_steps(const Repetition& repetition);

}  // namespace secondsource
