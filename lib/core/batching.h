#pragma once
// How an engine groups requests into steps.

#include <cstdint>

#include "core/enum_names.h"

namespace secondsource {

enum class Batching : std::uint8_t {
  kContinuous,  ///< requests join and leave at every step (the default)
  kStatic,   ///< takes the waiting requests, up to the sequence limit, and runs that batch until every request is done
  kDynamic,  ///< as kStatic, but waits for a full batch or until the oldest request has waited long enough
};
SS_ENUM_NAMES(Batching, "continuous", "static", "dynamic")

}  // namespace secondsource
