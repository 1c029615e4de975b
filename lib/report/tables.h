#pragma once
// The tables that every report shows, in words for a person. What is unknown is "-", and the notes below say why.

#include <span>
#include <string>
#include <vector>

#include "report/gate_record.h"
#include "report/stored_run.h"
#include "report/text_table.h"

namespace secondsource {

/// A speed is not credited to wrong tokens, nor to a measurement that refused itself: such a row has its verdict and no
/// figures, and no chart draws it.
[[nodiscard]] bool has_credit(const CellSummary& cell);

/// bundle x backend x variant x scenario -> golden verdict, TTFT p50/p95, output tokens/s, peak memory, $/1K. With
/// several runs a first column names the run.
[[nodiscard]] TextTable results_table(std::span<const SummarizedRun> runs);

/// backend x variant -> counts of match, near tie and wrong of the golden pass.
[[nodiscard]] TextTable golden_table(std::span<const SummarizedRun> runs);

/// cell x metric -> base, candidate, change, verdict.
[[nodiscard]] TextTable gate_table(const GateReport& gate);

/// What a reader must know beside the numbers: failures, invalid cells, unverified bundles, refused comparisons,
/// waivers.
[[nodiscard]] std::vector<std::string> result_notes(std::span<const SummarizedRun> runs);
[[nodiscard]] std::vector<std::string> gate_notes(const GateReport& gate);

/// "1 regressed, 0 inconclusive, 5 pass, 1 waived"
[[nodiscard]] std::string gate_headline(const GateReport& gate);

/// Host, devices, program, price: the lines above a results table.
[[nodiscard]] std::vector<std::string> run_header(const SummarizedRun& run);

}  // namespace secondsource
