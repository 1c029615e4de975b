#pragma once
// The figures of a cell about sending and cancelling requests and about conversations, derived from raw lines alone.

#include "verify/derive.h"

namespace secondsource::verify {

/// Sets late_send_share, latest_send_ns, n_cancelled, freed_tok_per_s, unwanted_tokens and conversation of `cell`,
/// whose scenario must be set.
void derive_load(const std::vector<const Json*>& samples, const CellLines& lines, Json& cell);

}  // namespace secondsource::verify
