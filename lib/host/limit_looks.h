#pragma once
// Combines several measurements ("looks") of the limits of one machine (record/machine_limits.h).

#include "host/machine_probe.h"
#include "record/machine_limits.h"

namespace secondsource {

/// Adds a look. If its buffer sizes differ from those of `looks.best`, only its operations are used. A limit of 0 means
/// that the look did not measure it. Adding a look twice has the same effect as adding it once.
[[nodiscard]] LimitLooks add_look(LimitLooks looks, const MachineLimits& look);

/// True if the look is the best or the next best one in some limit.
[[nodiscard]] bool adds_to(const LimitLooks& looks, const MachineLimits& look);

/// True if the two best looks agree within 5 % in every limit and other processes hardly used the CPUs during one of
/// them, so that another look would hardly be higher.
[[nodiscard]] bool is_settled(const LimitLooks& looks);

/// Converts a moment (machine_probe.h) to a look with the buffer sizes of `limits`, of which the moment measured only
/// one.
[[nodiscard]] MachineLimits look_of(const MachineMoment& moment, const MachineLimits& limits);

}  // namespace secondsource
