#pragma once
// The tables beside the results, one row per cell that has credit: all latencies, what limits a cell, and the outcome
// of a load.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "report/text_table.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// Measured lengths; TTFT from the scheduled arrival at p50, p95 and p99, from the actual start, to visible text and in
/// the kernels. Each latency has the ± of a rerun where the repetitions support it, and "-" where the sample is too small
/// for the latency.
[[nodiscard]] TextTable latency_table(std::span<const SummarizedRun> runs);

/// TPOT and ITL likewise: mean, p50, p90, p95 and p99.
[[nodiscard]] TextTable token_time_table(std::span<const SummarizedRun> runs);

/// The median of each part of the time to the first token, for the cells of which a part was measured.
[[nodiscard]] TextTable ttft_parts_table(std::span<const SummarizedRun> runs);

/// How many sensors a table shows.
enum class SensorChoice : std::uint8_t {
  kMain,  ///< power, utilisation, temperature and memory: what fits on a terminal
  kAll,
};
/// vCPUs that were busy, power, and the readings of the device, for the cells that have any of them; without the sensors
/// that could be read in no cell.
[[nodiscard]] TextTable machine_table(std::span<const SummarizedRun> runs, SensorChoice sensors);
/// Why a sensor could not be read, one line per sensor and reason.
[[nodiscard]] std::vector<std::string> machine_lines(std::span<const SummarizedRun> runs);
/// The names of the sensors of the host and of devices in these runs, in the order of their first reading, without
/// those of single CPUs; at most 64, so that the table stays readable.
[[nodiscard]] std::vector<std::string> sensors_of(std::span<const SummarizedRun> runs);

/// Cost beside the tail latency, the device's utilisation, the shares of the machine's limits, the limit that binds,
/// and the one-time costs: load, compile, and first against settled time.
[[nodiscard]] TextTable bound_table(std::span<const SummarizedRun> runs);
/// Explains the labels that occur in bound_table(), one line per label.
[[nodiscard]] std::vector<std::string> bound_lines(std::span<const SummarizedRun> runs);

/// Requested and sent rates, SLO attainment, goodput and prefix hits of the cells that have any of them.
[[nodiscard]] TextTable load_table(std::span<const SummarizedRun> runs);

/// One row per turn of the cells with conversations, and one of all turns behind the first: prompt tokens, those of them that the
/// system did not compute, and the time to the first token.
[[nodiscard]] TextTable turn_table(std::span<const SummarizedRun> runs);

}  // namespace secondsource
