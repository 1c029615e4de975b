#pragma once
// How close a speed came to the limit that bounds it.

#include <cstdint>

#include "core/enum_names.h"
#include "core/fields.h"
#include "record/schema_text.h"

namespace secondsource {

/// The resource that bounds a speed: reading memory, or computing.
enum class LimitKind : std::uint8_t { kRead, kCompute };
SS_ENUM_NAMES(LimitKind, "read", "compute")
SS_SCHEMA_SAYS_STRING(LimitKind)

/// A speed divided by the limit that is nearer to it: that of reading or that of computing (roofline.h).
struct LimitShare {
  double share = 0;
  LimitKind limit = LimitKind::kRead;
};
SS_FIELDS(LimitShare, share, limit)

/// What prevents the steps of a cell from being faster.
enum class Bottleneck : std::uint8_t { kUnknown, kBandwidth, kCompute, kOverhead };
SS_ENUM_NAMES(Bottleneck, "", "bandwidth", "compute", "overhead")
SS_SCHEMA_SAYS_STRING(Bottleneck)

}  // namespace secondsource
