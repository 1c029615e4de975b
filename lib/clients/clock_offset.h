#pragma once
// How far apart the clocks of two clients' repetitions are. Both clients saw the Date of the same server change to the
// same second, each between two moments of its own clock. These moments bound the difference of the two clocks, and
// many changes bound it closely. Nothing is assumed about the server's clock, except that both clients get the same
// Date from it.

#include <cstdint>
#include <optional>

#include "core/result.h"
#include "record/repetition.h"

namespace secondsource {

/// What has to be added to times of the other repetition to convert them to times of the first: at least low_ns, at
/// most high_ns.
struct OffsetBounds {
  std::int64_t low_ns = 0;
  std::int64_t high_ns = 0;
  std::int32_t n_turns = 0;  ///< that both saw

  [[nodiscard]] std::int64_t middle_ns() const { return low_ns + (high_ns - low_ns) / 2; }
  /// The true offset is at most this far from the middle.
  [[nodiscard]] std::int64_t half_ns() const { return high_ns - middle_ns(); }
};

/// Bounds that hold at every moment of the Date changes and windows of both repetitions, because they are widened by
/// the possible drift of the clocks. nullopt if both saw no change to the same second. Errors: kInvalidInput if the
/// changes contradict each other: a clock was set, or the clients were not served by the same server.
Result<std::optional<OffsetBounds>> clock_offset(const Repetition& first, const Repetition& other);

}  // namespace secondsource
