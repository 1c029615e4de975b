#pragma once
// How far apart the clocks of two clients' repetitions are. Both saw the Date of the same server turn to the same second, each
// between two moments of its own clock; the difference of these moments bounds the difference of the clocks, and many turns bound
// it closely. Nothing is assumed of the server's clock, only that two clients which ask it get the same Date.

#include <cstdint>
#include <optional>

#include "core/result.h"
#include "record/repetition.h"

namespace secondsource {

/// What has to be added to times of the other repetition to make them times of the first one: at least low_ns, at most high_ns.
struct OffsetBounds {
  std::int64_t low_ns = 0;
  std::int64_t high_ns = 0;
  std::int32_t n_turns = 0;  ///< that both saw

  [[nodiscard]] std::int64_t middle_ns() const { return low_ns + (high_ns - low_ns) / 2; }
  /// The true offset is at most this far from the middle.
  [[nodiscard]] std::int64_t half_ns() const { return high_ns - middle_ns(); }
};

/// The bounds hold at every moment of the turns and windows of both repetitions: they are wider than the turns say by what the clocks may have drifted
/// apart. nullopt if they saw no turn in common. Errors: kInvalidInput if the turns contradict each other: a clock was set, or
/// the clients were not served by one and the same server.
Result<std::optional<OffsetBounds>> clock_offset(const Repetition& first, const Repetition& other);

}  // namespace secondsource
