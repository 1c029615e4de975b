#pragma once
// The record of one attempt in a search for the highest rate under an SLO.

#include <cstdint>
#include <optional>
#include <string>

#include "core/enum_names.h"
#include "core/fields.h"
#include "record/schema_text.h"

namespace secondsource {

/// The result of trying one rate.
enum class ProbeVerdict : std::uint8_t {
  kKept,
  kNotKept,
  kSaturated,
  kErrors,
  kNever,  ///< requests miss the SLO even when each one runs alone
};
SS_ENUM_NAMES(ProbeVerdict, "kept", "not kept", "saturated", "errors", "never")
SS_SCHEMA_SAYS_STRING(ProbeVerdict)

/// What an attempt is for.
enum class ProbePhase : std::uint8_t {
  kSaturation,  ///< a closed loop that keeps the system full: where the search begins
  kSearch,
  kHold,  ///< longer, at the rate that was found: it is kept, or the search backs off
};
SS_ENUM_NAMES(ProbePhase, "saturation", "search", "hold")
SS_SCHEMA_SAYS_STRING(ProbePhase)

/// One rate tried in a search for the highest rate under an SLO: the line `"type": "probe"`.
struct RateProbe {
  std::string cell{};
  std::int32_t index = 0;
  double rate_per_s = 0;  ///< kSaturation: the requests per second that ended
  std::optional<double> achieved_rate_per_s{};
  std::int64_t n_requests = 0;
  std::int64_t n_kept = 0;
  ProbeVerdict verdict = ProbeVerdict::kNotKept;
  std::string why{};  ///< one sentence
  ProbePhase phase = ProbePhase::kSearch;
  double wall_s = 0;  ///< how long the attempt took
};
SS_FIELDS(RateProbe, cell, index, rate_per_s, achieved_rate_per_s, n_requests, n_kept, verdict, why, phase, wall_s)
SS_ADDED_FIELDS(RateProbe, phase, wall_s)

}  // namespace secondsource
