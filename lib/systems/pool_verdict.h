#pragma once
// The verdict on a pool of models, of the verdicts on each of them.

#include "record/golden_record.h"

namespace secondsource {

/// Adds the verdict on one model to that on all: the worst counts, and reasons say whose they are.
void add_verdict(const GoldenRecord& one, GoldenRecord& all);

}  // namespace secondsource
