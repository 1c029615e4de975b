#pragma once
// The tables of every report. An unknown value is "-", and the notes below the table give the reason.

#include <span>
#include <string>
#include <vector>

#include "gate/gate_record.h"
#include "report/text_table.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// One row per bundle, backend, variant and scenario: golden verdict, TTFT p50/p95, output tokens/s, peak memory, $/1K.
/// With several runs, the first column names the run.
[[nodiscard]] TextTable results_table(std::span<const SummarizedRun> runs);

/// One row per backend and variant: the counts of match, near tie and wrong in the golden pass.
[[nodiscard]] TextTable golden_table(std::span<const SummarizedRun> runs);

/// One row per cell and metric: base, candidate, change, verdict.
[[nodiscard]] TextTable gate_table(const GateReport& gate);

/// The notes below the tables: failures, invalid cells and unverified bundles from runs; refused comparisons and
/// waivers from gates.
[[nodiscard]] std::vector<std::string> result_notes(std::span<const SummarizedRun> runs);
[[nodiscard]] std::vector<std::string> gate_notes(const GateReport& gate);

/// Returns "1 regressed, 0 inconclusive, 5 pass, 1 waived".
[[nodiscard]] std::string gate_headline(const GateReport& gate);

/// The lines above a results table: host, devices, program, price.
[[nodiscard]] std::vector<std::string> run_header(const SummarizedRun& run);

}  // namespace secondsource
