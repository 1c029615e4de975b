#pragma once
// The states that a brief speaks of, with the names that brief.json has for them.

#include <cstdint>

#include "core/enum_names.h"
#include "record/schema_text.h"

namespace secondsource {

/// What an option changes.
enum class OptionKind : std::uint8_t {
  kStay,
  kShift,
  kFallback,
  kMoveBatch,
  kOwn,
  kUnasked,  ///< not among the buyer's options: the brief adds it where it saves more than they do
};
SS_ENUM_NAMES(OptionKind, "stay", "shift", "fallback", "move-batch", "own", "unasked")
SS_SCHEMA_SAYS_STRING(OptionKind)

/// What the quarterly evaluation says of a SKU.
enum class SkuVerdict : std::uint8_t { kBuy, kNoBuy, kInUse };
SS_ENUM_NAMES(SkuVerdict, "buy", "no-buy", "in use")
SS_SCHEMA_SAYS_STRING(SkuVerdict)

/// What a SKU is for in an option.
enum class PartRole : std::uint8_t {
  kServes,
  kFallback,
  kUntilMoved,  ///< serves as today until the load has moved
  kOwed,        ///< serves nothing: machines that are committed and that the load does not need
};
SS_ENUM_NAMES(PartRole, "serves", "fallback", "until moved", "owed")
SS_SCHEMA_SAYS_STRING(PartRole)

/// How serious a risk is, the most serious first. A risk of level kLimit excludes an option.
enum class RiskLevel : std::uint8_t { kLimit, kWarning, kNote };
SS_ENUM_NAMES(RiskLevel, "limit", "warning", "note")
SS_SCHEMA_SAYS_STRING(RiskLevel)

enum class DecisionStatus : std::uint8_t {
  kDecided,
  kProvisional,  ///< a speed that it compares was not measured on the machine that is priced, or an option that nobody
                 ///< asked for saves more
  kNoEligibleOption,
};
SS_ENUM_NAMES(DecisionStatus, "decided", "provisional", "no eligible option")
SS_SCHEMA_SAYS_STRING(DecisionStatus)

}  // namespace secondsource
