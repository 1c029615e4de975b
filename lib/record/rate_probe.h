#pragma once
// The record of one rate tried in a search for the highest rate under an SLO.

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

/// One rate tried in a search for the highest rate under an SLO: the line `"type": "probe"`.
struct RateProbe {
  std::string cell;
  std::int32_t index = 0;
  double rate_per_s = 0;
  std::optional<double> achieved_rate_per_s{};
  std::int64_t n_requests = 0;
  std::int64_t n_kept = 0;
  ProbeVerdict verdict = ProbeVerdict::kNotKept;
  std::string why{};  ///< one sentence
};
SS_FIELDS(RateProbe, cell, index, rate_per_s, achieved_rate_per_s, n_requests, n_kept, verdict, why)

}  // namespace secondsource
