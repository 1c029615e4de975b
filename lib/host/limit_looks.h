#pragma once
// Combines several measurements ("looks") of the limits of one machine (record/machine_limits.h).

#include "host/machine_probe.h"
#include "record/machine_limits.h"

namespace secondsource {

/// The looks after one more. A look with other buffer sizes than `looks.best` has only its operations taken, and a limit
/// of 0 says that the look did not measure it. Taking a look twice is the same as taking it once.
[[nodiscard]] LimitLooks add_look(LimitLooks looks, const MachineLimits& look);

/// True if the look is the best or the next best one in some limit.
[[nodiscard]] bool adds_to(const LimitLooks& looks, const MachineLimits& look);

/// True if the two best looks agree within 5 % in every limit and others left the CPUs alone meanwhile: another look
/// would hardly be higher.
[[nodiscard]] bool is_settled(const LimitLooks& looks);

/// A moment (machine_probe.h) as a look with the buffer sizes of `limits`, only one of which it measured.
[[nodiscard]] MachineLimits look_of(const MachineMoment& moment, const MachineLimits& limits);

}  // namespace secondsource
