#pragma once
// How long the requests of a cell waited for their tokens, and how many tokens they had.

#include "record/records.h"
#include "summary/cell_lines.h"

namespace secondsource {

/// `lines` are those of the cell, with only the samples that count. Sets the counts of requests and tokens of
/// CellSummary, and its latencies: over all requests, and as the median of each repetition for the gate.
void summarize_latency(const CellLines& lines, CellSummary& cell);

}  // namespace secondsource
