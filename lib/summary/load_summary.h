#pragma once
// How the load itself went: which requests were sent late, which were cancelled and what that freed, and the turns of
// conversations.

#include "record/records.h"
#include "summary/cell_lines.h"

namespace secondsource {

/// `lines` are those of the cell, with only the samples that count. Sets the members of CellSummary about sending,
/// cancelling and conversations.
void summarize_load(const CellLines& lines, CellSummary& cell);

}  // namespace secondsource
