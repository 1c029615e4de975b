#pragma once
// What a run leaves behind, as plain data: run.json (RunRecord), samples.jsonl (JournalLine, appended line by line) and
// summary.json (RunSummary, derived from the two by summarize.h). docs/results-format.md and reports/schemas/ describe
// the JSON; record_json.h reads and writes it. Times are integer nanoseconds; those of a sample count from the start of
// its repetition. What was not measured is an empty optional, never a zero.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "backend/backend.h"
#include "cost/price.h"

namespace secondsource {

/// Raised when the meaning of a field changes: readers refuse versions that they do not know.
inline constexpr int kResultsSchemaVersion = 1;
/// Raised when a measurement changes so that old and new numbers must not be compared (CHANGELOG, "Measurement").
inline constexpr int kMethodVersion = 1;

enum class ScenarioKind : std::uint8_t { kSingleStream, kOffline, kServer };

/// One way of loading a system. name(): "single-stream", "offline-b16", "server-r2.5".
struct Scenario {
  ScenarioKind kind = ScenarioKind::kSingleStream;
  std::int32_t batch = 1;            ///< offline: requests in flight
  double rate_per_s = 0;             ///< server: Poisson arrivals per second
  std::int32_t n_requests = 0;       ///< measured requests of one repetition
  std::int32_t n_prompt_tokens = 0;  ///< nominal; 0: as the suite's prompts are
  std::int32_t n_output_tokens = 0;  ///< exact: end of text is ignored in timed runs
  [[nodiscard]] std::string name() const;
};

/// What one number belongs to. The gate adds the metric.
struct CellKey {
  std::string bundle;
  std::string backend;
  std::string variant;
  std::string scenario;                  ///< Scenario::name()
  [[nodiscard]] std::string id() const;  ///< "default/cpu/bf16/offline-b16"
  friend auto operator<=>(const CellKey&, const CellKey&) = default;
};

struct BundleRecord {
  std::string name;
  std::string path;
  std::string content_sha256;  ///< of the manifest, which holds the hashes of all else; of the files for a bare folder
  bool verified = false;       ///< has independent expected outputs
};

struct BackendRecord {
  std::string name;
  std::string module_sha256;
  DeviceInfo device;
  std::vector<std::pair<std::string, std::string>> options;  ///< threads, cpus, isa, fault, ...
  double n_units_used = 1;  ///< devices, or vCPUs of a CPU backend: what Price::n_units_used counts
  std::string unavailable;  ///< why it did not run; empty when it did
};

/// One fact about the host; `value` is empty where it could not be read, and `why_not` says why.
struct HostFact {
  std::string name;  ///< "cpu_model", "kernel", "governor", "load_1min", ...
  std::optional<std::string> value;
  std::string why_not;
};

struct PlannedCell {
  CellKey key;
  Scenario scenario;
  std::int32_t repetitions = 0;
};

/// run.json: written before the first measurement, rewritten only by --resume (which appends to `resumed_utc`).
struct RunRecord {
  int schema_version = kResultsSchemaVersion;
  int method_version = kMethodVersion;
  std::string run_id;  ///< random, 16 hexadecimal digits
  std::string started_utc;
  std::vector<std::string> resumed_utc;
  std::vector<std::string> command;
  std::uint64_t seed = 0;
  std::string program_version;
  std::string commit;
  std::string compiler;
  std::string build_type;
  std::vector<HostFact> host;
  std::vector<BundleRecord> bundles;
  std::vector<BackendRecord> backends;
  std::vector<PlannedCell> cells;
  std::optional<Price> price;
  std::string suite;
  /// Everything else that the run was asked for (limits, deadlines, ...), as the runner writes and reads it.
  std::vector<std::pair<std::string, std::string>> settings;
};

/// Where the time to the first token went; what a system cannot tell apart is empty.
struct TtftParts {
  std::optional<std::int64_t> queue_ns;
  std::optional<std::int64_t> tokenize_ns;
  std::optional<std::int64_t> transfer_ns;
  std::optional<std::int64_t> prefill_ns;
  std::optional<std::int64_t> sample_ns;
};

/// One request: the line `"type": "sample"`.
struct RequestSample {
  std::string cell;  ///< CellKey::id()
  std::int32_t repetition = 0;
  std::int32_t request = 0;
  bool warmup = false;
  std::string prompt;  ///< id of the golden prompt, or "random-SEED-LENGTH"
  std::int32_t n_prompt_tokens = 0;
  std::int32_t n_output_tokens = 0;  ///< of the engine's own count
  std::int64_t scheduled_ns = 0;     ///< intended arrival; closed loop: equal to sent_ns
  std::int64_t sent_ns = 0;
  std::optional<std::int64_t> first_token_ns;
  std::optional<std::int64_t> first_visible_ns;  ///< first non-empty text
  std::optional<std::int64_t> last_token_ns;
  std::optional<std::int64_t> ttft_kernel_ns;  ///< a duration: ids -> logits, device synchronised
  std::vector<std::int64_t> itl_ns;            ///< every gap between consecutive tokens: n_output_tokens - 1 of them
  TtftParts parts;
  std::optional<std::int32_t> verified_tokens;  ///< judged right against the expected ids (up to the first near tie)
  std::optional<std::int32_t> near_tie_at;
  std::optional<std::int32_t> wrong_at;
  std::string finish;  ///< "length", "eos", "error"
  std::string error;   ///< empty unless finish is "error"

  /// scheduled arrival -> first token: what the gate uses.
  [[nodiscard]] std::optional<std::int64_t> ttft_e2e_ns() const;
  [[nodiscard]] std::optional<std::int64_t> ttft_visible_ns() const;
  /// scheduled arrival -> last token.
  [[nodiscard]] std::optional<std::int64_t> e2e_ns() const;
  /// (last - first token) / (n_output_tokens - 1); empty below two tokens.
  [[nodiscard]] std::optional<double> tpot_ns() const;
};

struct HostMemory {
  std::int64_t peak_rss_bytes = 0;
};

/// The end of one repetition of a cell: the line `"type": "repetition"`. Its presence means that the repetition is
/// whole.
struct Repetition {
  std::string cell;
  std::int32_t repetition = 0;
  std::int64_t window_start_ns = 0;  ///< the steady window, by the rule in docs/metrics.md
  std::int64_t window_end_ns = 0;
  std::int64_t window_output_tokens = 0;
  std::int64_t prefill_tokens = 0;
  std::int64_t prefill_ns = 0;  ///< time of steps that held prompt tokens only
  std::int64_t decode_tokens = 0;
  std::int64_t decode_ns = 0;  ///< time of steps that held no prompt tokens
  std::int64_t host_ns = 0;    ///< the harness's and engine's own time between steps
  std::int32_t warmup_windows = 0;
  bool warmup_settled = true;
  MemoryUse memory;
  HostMemory host_memory;
  double process_cpu_s = 0;  ///< CPU time of the worker during the repetition
  double wall_s = 0;
  std::optional<double> others_cpu_share;  ///< share of all CPUs that other processes (and steal) took meanwhile
  std::int64_t involuntary_switches = 0;
  std::int64_t major_faults = 0;
  std::vector<TelemetryReading> telemetry;
  std::vector<std::string> invalid;  ///< the checks that failed; not empty: the numbers count for nothing
};

/// The verdict on what a backend generates: the line `"type": "golden"`.
struct GoldenRecord {
  std::string bundle;
  std::string backend;
  std::string variant;
  std::string suite;
  std::string verdict;  ///< "passed", "failed", "unverified"
  std::vector<std::string> reasons;
  std::int32_t n_prompts = 0;
  std::int32_t n_skipped = 0;  ///< prompts that this backend does not run (reference: beyond 2K), with a reason
  std::int64_t n_positions = 0;
  std::int64_t n_match = 0;
  std::int64_t n_near_tie = 0;
  std::int64_t n_wrong = 0;
  std::optional<double> kl_mean;
  std::optional<double> kl_worst;
  std::optional<double> nll_difference_mean;
  std::int64_t duration_ns = 0;
};

/// A backend that did not make it: the line `"type": "failure"`.
struct FailureRecord {
  std::string backend;
  std::string cell;  ///< "BUNDLE/BACKEND/VARIANT" when it concerns all cells of it, empty when all of the backend
  std::string kind;  ///< "unavailable", "crash", "hang", "out-of-memory", "error"
  std::string message;
};

using JournalLine = std::variant<RequestSample, Repetition, GoldenRecord, FailureRecord>;

/// A figure with its distribution-free 95 % interval; empty, with the reason, where the sample does not support one.
struct Estimate {
  std::optional<double> value;
  std::optional<double> low;
  std::optional<double> high;
  std::int64_t n = 0;
  std::string why_not;
};

/// One row of every report.
struct CellSummary {
  CellKey key;
  Scenario scenario;
  std::string golden;  ///< "passed", "failed", "unverified", "not run"
  std::string status;  ///< "complete", "partial", "invalid", "failed", "missing"
  std::vector<std::string> notes;
  std::int32_t n_repetitions = 0;
  std::int64_t n_samples = 0;
  std::int64_t n_errors = 0;
  Estimate ttft_e2e_p50_ns, ttft_e2e_p95_ns, ttft_visible_p50_ns, ttft_kernel_p50_ns;
  Estimate tpot_p50_ns, itl_p50_ns, itl_p99_ns;
  Estimate output_tok_per_s;  ///< median over repetitions
  Estimate decode_tok_per_s, prefill_tok_per_s;
  std::optional<double> tok_per_s_per_user;  ///< 1 / median TPOT
  std::optional<double> verified_share;      ///< verified output tokens / output tokens, of the timed requests
  std::optional<MemoryUse> memory;           ///< the largest over repetitions
  std::optional<std::int64_t> peak_rss_bytes;
  std::optional<double> usd_per_1k_output, usd_per_1k_total, device_hours_per_million;
  std::optional<double> others_cpu_share;  ///< the largest over repetitions: was the machine busy with something else?
  /// One value a repetition, for the gate: output tokens/s and median TTFT in ns.
  std::vector<double> output_tok_per_s_by_repetition, ttft_p50_ns_by_repetition;
};

struct RunSummary {
  int schema_version = kResultsSchemaVersion;
  std::string run_id;
  std::vector<CellSummary> cells;
  std::vector<GoldenRecord> golden;
  std::vector<FailureRecord> failures;
};

}  // namespace secondsource
