#pragma once
// Renders the portability matrix as a table.

#include "report/text_table.h"
#include "summary/portability_record.h"

namespace secondsource {

/// One row per operation, type and class of shapes, one column per platform. A cell reads "62 %, passed", "41 %,
/// fallback, passed" or "unsupported".
[[nodiscard]] TextTable portability_table(const PortabilityMatrix& matrix);

}  // namespace secondsource
