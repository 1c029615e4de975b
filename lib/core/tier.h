#pragma once
// How much a variant of a model counts: a term that bundles, records and gates share.

#include <cstdint>

#include "core/enum_names.h"

namespace secondsource {

enum class Tier : std::uint8_t {
  kBlessed,        ///< must pass its golden prompts for a run to count, and decides gates
  kOpportunistic,  ///< measured and reported, but by default it decides no gate
};
SS_ENUM_NAMES(Tier, "blessed", "opportunistic")

}  // namespace secondsource
