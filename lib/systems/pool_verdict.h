#pragma once
// Combines the verdicts on the models of a pool into one.

#include "record/golden_record.h"

namespace secondsource {

/// Adds the verdict on one model to that on all. The worst verdict counts, and each reason is prefixed with its model's
/// bundle.
void add_verdict(const GoldenRecord& one, GoldenRecord& all);

}  // namespace secondsource
