#pragma once
// The tables of every report. An unknown value is "-", and the notes below the table (notes.h) give the reason.

#include <span>
#include <string>
#include <string_view>
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

/// The name of the device that a backend of the run used; "-" if it had none.
[[nodiscard]] std::string device_of(const SummarizedRun& run, std::string_view backend);
/// The settings by which a served row is labelled, as "speculative off, prefix cache on, KV cache fp8"; "-" for others.
[[nodiscard]] std::string features_of(const SummarizedRun& run, std::string_view backend);
/// True if several served rows differ in these settings.
[[nodiscard]] bool features_differ(std::span<const SummarizedRun> runs);
/// True if a backend ran on devices with different names, as in runs of two machines.
[[nodiscard]] bool devices_differ(std::span<const SummarizedRun> runs);
/// True if the weights of any bundle were quantized at their source.
[[nodiscard]] bool any_quantized_at_source(std::span<const SummarizedRun> runs);
/// The file of the run directory from which the figures come: "samples.jsonl", or "summary.json" if it has no samples.
[[nodiscard]] std::string_view source_of_figures(const SummarizedRun& run);

/// Returns "1 regressed, 0 inconclusive, 5 pass, 1 waived".
[[nodiscard]] std::string gate_headline(const GateReport& gate);

/// The lines above a results table: host, devices, program, price.
/// Returns "run ID of DATE, secondsource VERSION (COMMIT), suite SUITE, seed SEED".
[[nodiscard]] std::string run_line(const RunRecord& record);
/// Returns "host: cpu_model ...; cpus_usable ...; kernel ...", without the facts that could not be read.
[[nodiscard]] std::string host_line(const std::vector<HostFact>& host);
[[nodiscard]] std::vector<std::string> run_header(const SummarizedRun& run);

}  // namespace secondsource
