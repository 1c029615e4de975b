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
/// The same in a sentence; empty where they were not, or where there are none.
[[nodiscard]] std::string limits_caveat(const std::optional<MachineLimits>& limits);

/// Bytes/s at best over a working set that is read again and again: that of the largest measured buffer which is not
/// larger, since a smaller one is never slower. nullopt without a measurement.
[[nodiscard]] std::optional<double> read_limit(const MachineLimits& limits, double working_set_bytes);

/// Operations/s at best for a variant's products: of 8-bit integers where its activations are quantized, else of BF16
/// or f32. nullopt where the CPU has units that were not measured.
[[nodiscard]] std::optional<double> operations_limit(const MachineLimits& limits, std::string_view variant);

struct RooflineUse {
  std::optional<double> read;        ///< share of read_limit()
  std::optional<double> operations;  ///< share of operations_limit()
};

/// Of steps that took `work.ns`; empty where there were none. `working_set_bytes` are read again and again: those of a
/// step, of which `work` may be a part; left out, what is read in each of the steps.
[[nodiscard]] RooflineUse roofline_use(const StepWork& work, const MachineLimits& limits, std::string_view variant,
                                       std::optional<double> working_set_bytes = std::nullopt);

/// The larger of the two shares, whose limit bounds the steps; nullopt if one of them is not known.
[[nodiscard]] std::optional<LimitShare> nearer_limit(const RooflineUse& use);

/// What prevents steps from being faster, and what follows from it.
struct Bound {
  Bottleneck bottleneck = Bottleneck::kUnknown;
  std::string why;  ///< one sentence
};

/// A limit binds where more than half of it is reached; where neither is, fixed costs do: starting kernels, barriers,
/// the host between steps. `kind` names the steps in the sentence. `others`: share of the CPUs that other processes
/// took meanwhile; where a limit would bind without them, the bottleneck is unknown.
[[nodiscard]] Bound bound_of(const StepWork& work, const MachineLimits& limits, std::string_view variant,
                             std::string_view kind, double others = 0);

/// The consequence of a bottleneck, in a sentence: whether fewer bytes per weight make steps faster or only save
/// memory.
[[nodiscard]] std::string_view consequence_of(Bottleneck bottleneck);

/// The sum of prefill, decode and mixed steps.
[[nodiscard]] StepWork all_steps(const Repetition& repetition);

}  // namespace secondsource
