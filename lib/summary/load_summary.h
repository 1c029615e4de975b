#pragma once
// How the load itself went: which requests were sent late, which the client cancelled, and what that freed, and the turns of
// conversations.

#include "record/records.h"
#include "summary/cell_lines.h"

namespace secondsource {

/// `lines` are those of the cell, their samples the ones that count. Fills in what CellSummary has of sending, cancelling and conversations.
void summarize_load(const CellLines& lines, CellSummary& cell);

}  // namespace secondsource
