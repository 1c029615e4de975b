#pragma once
// The record of one repetition of a cell: its steady window, the work of its steps, its memory, and the results of its
// checks.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "core/enum_names.h"
#include "core/fields.h"
#include "record/load_client.h"
#include "record/server_clock.h"
#include "record/swap.h"

namespace secondsource {

/// The outcome of one check of a measurement; docs/checks.md lists the checks and their limits.
enum class CheckOutcome : std::uint8_t {
  kPassed,
  /// Noise for which interleaved pairs and the gate's interval account; the figure counts, but is marked.
  kSuspect,
  kInvalid,       ///< the figure does not count
  kNotAvailable,  ///< the check could not be made; `detail` says why
};
SS_ENUM_NAMES(CheckOutcome, "passed", "suspect", "invalid", "not available")

/// The result of one check.
struct CheckRecord {
  std::string name;  ///< "roofline", "warm_up", ...
  CheckOutcome outcome = CheckOutcome::kPassed;
  std::string detail;  ///< one sentence with the figures
  /// The share of the repetition's time that was lost to the disturbance, where the check can tell.
  std::optional<double> lost = {};
};
SS_FIELDS(CheckRecord, name, outcome, detail, lost)
SS_ADDED_FIELDS(CheckRecord, lost)

/// The sum over steps of one kind: their tokens, their time, and the least work that any implementation must do
/// (engine/op_work.h).
struct StepWork {
  std::int64_t n_steps = 0;
  std::int64_t tokens = 0;
  std::int64_t ns = 0;
  double flops = 0;
  double weight_bytes = 0;
  double kv_bytes = 0;
  StepWork& operator+=(const StepWork& other);
};
SS_FIELDS(StepWork, n_steps, tokens, ns, flops, weight_bytes, kv_bytes)

struct HostMemory {
  std::int64_t peak_rss_bytes = 0;
};
SS_FIELDS(HostMemory, peak_rss_bytes)

SS_FIELDS(MemoryUse, weights_bytes, kv_bytes, workspace_bytes, runtime_bytes, peak_bytes, huge_weights_bytes)
SS_FIELDS(TelemetryReading, name, value, why_not)

/// The end of one repetition of a cell: the line `"type": "repetition"`. A repetition is complete only if this line
/// exists.
struct Repetition {
  std::string cell;
  std::int32_t repetition = 0;
  std::int64_t window_start_ns = 0;  ///< the steady window, by the rule in docs/scenarios.md
  std::int64_t window_end_ns = 0;
  std::int64_t window_output_tokens = 0;
  StepWork prefill;          ///< steps with prompt tokens only
  StepWork decode;           ///< steps without prompt tokens
  StepWork mixed;            ///< steps with both
  std::int64_t host_ns = 0;  ///< the harness's and the engine's own time between steps
  std::int32_t warmup_windows = 0;
  bool warmup_settled = true;
  std::vector<double> warmup_ns_per_token;  ///< one value per window; the first shows the cost of a new shape
  std::int64_t load_ns = 0;                 ///< time to read the weights and to pack them for the device
  /// Time to compile this cell's steps before the first window; empty for a system that does not show it.
  std::optional<std::int64_t> compile_ns;
  MemoryUse memory;
  HostMemory host_memory;
  double process_cpu_s = 0;  ///< CPU time of the worker during the repetition
  double wall_s = 0;
  std::optional<double> others_cpu_share;  ///< share of all CPU time that other processes and steal took
  std::int64_t involuntary_switches = 0;
  std::int64_t major_faults = 0;
  std::optional<double> rate_per_s;           ///< open loop: requested arrivals per second
  std::optional<double> achieved_rate_per_s;  ///< open loop: arrivals per second that were sent
  std::vector<TelemetryReading> telemetry;
  std::vector<CheckRecord> checks;
  std::optional<SwapRecord> swap{};           ///< present for the scenario `swap`
  std::optional<ServerClock> server_clock{};  ///< absent where no response had a Date, and in merged runs
  std::vector<ClientShift> clients{};         ///< of a merged run: in the order of the clients; else empty
};
SS_FIELDS(Repetition, cell, repetition, window_start_ns, window_end_ns, window_output_tokens, prefill, decode, mixed,
          host_ns, warmup_windows, warmup_settled, warmup_ns_per_token, load_ns, compile_ns, memory, host_memory,
          process_cpu_s, wall_s, others_cpu_share, involuntary_switches, major_faults, rate_per_s, achieved_rate_per_s,
          telemetry, checks, swap, server_clock, clients)
SS_ADDED_FIELDS(Repetition, swap, server_clock, clients)

/// Names of the readings in Repetition::telemetry that tell what the machine could do right after the repetition
/// (host/machine_probe.h).
inline constexpr std::string_view kMachineReadReading = "machine_read_bytes_per_s";
/// The name of the reading that counts the output tokens of a server by its metrics page (serving/server_metrics.h).
inline constexpr std::string_view kServerOutputReading = "server_output_tokens_count";
inline constexpr std::string_view kMachineF32Reading = "machine_f32_flops";

}  // namespace secondsource
