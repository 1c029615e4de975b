#pragma once
// What a run leaves behind, as plain data: run.json (RunRecord), samples.jsonl (JournalLine, appended line by line) and
// summary.json (RunSummary, derived from the two by summarize.h). docs/results-format.md and reports/schemas/ describe
// the JSON; record_json.h reads and writes it. Times are integer nanoseconds; those of a sample count from the start of
// its repetition. What was not measured is an empty optional, never a zero.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "backend/backend.h"
#include "cost/price.h"

namespace secondsource {

/// Raised when the meaning of a field changes: readers refuse versions that they do not know.
inline constexpr int kResultsSchemaVersion = 1;
/// Raised when a measurement changes so that old and new numbers must not be compared (CHANGELOG, "Measurement").
inline constexpr int kMethodVersion = 2;

enum class ScenarioKind : std::uint8_t { kSingleStream, kOffline, kServer };

/// How the gaps between arrivals of an open loop are distributed (measure/arrivals.h).
enum class ArrivalKind : std::uint8_t { kPoisson, kGamma, kConstant, kTrace };

/// One way of loading a system. name(): "single-stream", "offline-b16", "server-r2.5", "server-r8+gamma=0.25",
/// "server-slo-max", "offline-b16+static"; docs/metrics.md has them all.
struct Scenario {
  ScenarioKind kind = ScenarioKind::kSingleStream;
  std::int32_t batch = 1;            ///< offline: requests in flight
  double rate_per_s = 0;             ///< server: arrivals per second, on average; 0 where it is sought or recorded
  std::int32_t n_requests = 0;       ///< measured requests of one repetition
  std::int32_t n_prompt_tokens = 0;  ///< nominal; 0: as the suite's prompts are. With a trace: its prompts' upper limit
  std::int32_t n_output_tokens = 0;  ///< exact: end of text is ignored in timed runs. With a trace: the upper limit
  ArrivalKind arrivals = ArrivalKind::kPoisson;
  double burstiness = 1;                ///< kGamma: the shape; below 1 burstier than Poisson, above 1 more regular
  std::string trace{};                  ///< kTrace: path of the recorded arrivals
  std::string trace_sha256{};           ///< of that file
  double trace_speed = 1;               ///< kTrace: so many times faster than recorded
  bool seeks_slo_rate = false;          ///< server: the highest rate that keeps the run's SLO
  std::int32_t n_shared_prefix = 0;     ///< leading prompt tokens that all requests share; 0: every prompt is its own
  std::string batching = "continuous";  ///< "static", "dynamic" (engine/scheduler.h)
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

/// The value of a fact; nullopt when it is absent or was not readable.
[[nodiscard]] std::optional<std::string> fact(const std::vector<HostFact>& facts, std::string_view name);

/// What the machine reads a second at best from a buffer of this size, all threads together.
struct ReadLimit {
  std::int64_t buffer_bytes = 0;
  double bytes_per_s = 0;
};

/// The machine's own limits, measured when the run began and again whenever a speed seemed to exceed them: the highest
/// counts (measure/machine_limits.h).
struct RunLimits {
  std::int32_t n_threads = 0;
  std::string instruction_set;
  std::vector<ReadLimit> reads;  ///< by ascending size
  double f32_flops = 0;          ///< operations/s, a multiply and an add being two
  std::optional<double> bf16_flops;
  std::optional<double> int8_ops;
  double disturbed = 0;    ///< share of the time that other processes had the CPUs while it was measured
  std::string unmeasured;  ///< matrix units that the loops do not drive ("AMX"): no limit on operations/s is known then
};

/// A promise to users: of `percent` of the requests the first token comes within `ttft_ms` of the scheduled arrival,
/// and the others follow at most `tpot_ms` apart on average.
struct Slo {
  std::string name{};  ///< of a preset, or "ttft_ms=500,tpot_ms=30,percent=99"
  double ttft_ms = 0;
  double tpot_ms = 0;
  double percent = 99;

  /// Is whoever keeps `other` sure to keep this?
  [[nodiscard]] bool is_kept_by(const Slo& other) const {
    return other.ttft_ms <= ttft_ms && other.tpot_ms <= tpot_ms && other.percent >= percent;
  }
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
  std::optional<Slo> slo;  ///< what goodput counts by
  std::optional<RunLimits> limits;
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
  std::int32_t n_output_tokens = 0;  ///< tokens that arrived
  std::int64_t scheduled_ns = 0;     ///< intended arrival; closed loop: equal to sent_ns
  std::int64_t sent_ns = 0;
  std::optional<std::int64_t> first_token_ns;
  std::optional<std::int64_t> first_visible_ns;  ///< first non-empty text
  std::optional<std::int64_t> last_token_ns;
  std::optional<std::int64_t> ttft_kernel_ns;  ///< a duration: ids -> logits, device synchronised
  std::vector<std::int64_t> itl_ns;            ///< every gap between consecutive tokens: n_output_tokens - 1 of them
  /// When the load generator had the first and the last token in hand: its own clock readings, against which the
  /// system's stamps above are checked.
  std::optional<std::int64_t> first_received_ns;
  std::optional<std::int64_t> last_received_ns;
  std::optional<std::int32_t> engine_tokens;  ///< output tokens by the system's own count
  std::int32_t n_cached_prompt_tokens = 0;    ///< prompt tokens that were not computed: their cache was shared
  TtftParts parts;
  std::optional<std::int32_t> verified_tokens;  ///< judged right against the expected ids (up to the first near tie)
  std::optional<std::int32_t> near_tie_at;
  std::optional<std::int32_t> wrong_at;
  std::string finish;  ///< "length", "eos", "error"
  std::string error;   ///< empty unless finish is "error"

  /// scheduled arrival -> first token: what the gate uses.
  [[nodiscard]] std::optional<std::int64_t> ttft_e2e_ns() const;
  /// sent -> first token: without the time that the request waited for the load generator.
  [[nodiscard]] std::optional<std::int64_t> ttft_sent_ns() const;
  [[nodiscard]] std::optional<std::int64_t> ttft_visible_ns() const;
  /// scheduled arrival -> last token.
  [[nodiscard]] std::optional<std::int64_t> e2e_ns() const;
  /// (last - first token) / (n_output_tokens - 1); empty below two tokens.
  [[nodiscard]] std::optional<double> tpot_ns() const;
};

/// What one check of a measurement found; docs/checks.md lists the checks and their limits.
enum class CheckOutcome : std::uint8_t {
  kPassed,
  kSuspect,       ///< noise that interleaved pairs and the gate's interval carry: the figure counts, marked
  kInvalid,       ///< the figure counts for nothing
  kNotAvailable,  ///< could not be made; the detail says why
};
struct CheckRecord {
  std::string name;  ///< "roofline", "warm_up", ...
  CheckOutcome outcome = CheckOutcome::kPassed;
  std::string detail;  ///< one sentence with the figures
};
/// "passed", "suspect", "invalid", "not available".
[[nodiscard]] std::string_view to_string(CheckOutcome outcome);

/// Steps of one kind, together: their tokens, their time, and the work that no implementation can do without
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
  StepWork prefill;          ///< steps that held prompt tokens only
  StepWork decode;           ///< steps that held none
  StepWork mixed;            ///< steps that held both
  std::int64_t host_ns = 0;  ///< the harness's and engine's own time between steps
  std::int32_t warmup_windows = 0;
  bool warmup_settled = true;
  std::vector<double> warmup_ns_per_token;  ///< one a window; the first is what a never-seen shape costs
  std::int64_t load_ns = 0;                 ///< the worker took to read the weights and to pack them for its device
  std::int64_t compile_ns = 0;              ///< spent on compiling this cell's steps before the first window
  MemoryUse memory;
  HostMemory host_memory;
  double process_cpu_s = 0;  ///< CPU time of the worker during the repetition
  double wall_s = 0;
  std::optional<double> others_cpu_share;  ///< share of all CPUs that other processes (and steal) took meanwhile
  std::int64_t involuntary_switches = 0;
  std::int64_t major_faults = 0;
  std::optional<double> rate_per_s;           ///< open loop: arrivals that were asked for
  std::optional<double> achieved_rate_per_s;  ///< and those that were sent
  std::vector<TelemetryReading> telemetry;
  std::vector<CheckRecord> checks;
};

/// What the machine could do right after a repetition (measure/machine_probe.h), in Repetition::telemetry.
inline constexpr std::string_view kMachineReadReading = "machine_read_bytes_per_s";
inline constexpr std::string_view kMachineF32Reading = "machine_f32_flops";

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

/// One rate that a search for the highest one under an SLO tried: the line `"type": "probe"`.
struct RateProbe {
  std::string cell;
  std::int32_t index = 0;
  double rate_per_s = 0;
  std::optional<double> achieved_rate_per_s{};
  std::int64_t n_requests = 0;
  std::int64_t n_kept = 0;
  std::string verdict{};  ///< "kept", "not kept", "saturated", "errors"; "never" when requests miss the SLO alone
  std::string why{};      ///< one sentence
};

/// The time of all calls of one operation over rows of one size class.
struct OperationTime {
  std::string operation;    ///< op_name(); of a fused group, all of them joined by +
  std::string label;        ///< "attention.qkv": the place in a layer, or in the model
  std::string shape_class;  ///< "decode, 1 token", "prefill, 65-128 tokens": a range between two powers of two
  std::string shape;        ///< "1024 -> 3072": columns read and written
  std::string kernel;
  std::string fallback;  ///< why the backend took a slower path; empty when it did not
  std::int64_t n_calls = 0;
  std::int64_t ns = 0;
  double flops = 0;
  double bytes = 0;                         ///< weights and cache that have to be read
  std::vector<std::int64_t> ns_by_layer{};  ///< empty for what is not in a layer
};

/// What a backend says that it cannot do: an operation, with weights of one encoding or with any.
struct Refusal {
  std::string operation;  ///< op_name()
  std::string type;       ///< "int4", "int8-w8a8"; empty: of any
  std::string reason;
};

/// Where the time of a cell goes, from a pass of its own with a clock around every operation; never a sample. The line
/// `"type": "operations"`.
struct OperationTimes {
  std::string cell;
  std::int64_t n_requests = 0;
  std::int64_t n_steps = 0;
  std::int64_t output_tokens = 0;
  std::int64_t wall_ns = 0;    ///< of the pass
  std::int64_t device_ns = 0;  ///< in steps; the rest of wall_ns is host, scheduler and waiting for arrivals
  double overhead = 0;         ///< what the clocks cost: device_ns of the pass / of the same pass without them - 1
  std::vector<OperationTime> operations;
  std::vector<Refusal> refusals;  ///< of the backend, whether the cell needs them or not
};

using JournalLine = std::variant<RequestSample, Repetition, GoldenRecord, FailureRecord, RateProbe, OperationTimes>;

/// A figure with its distribution-free 95 % interval; empty, with the reason, where the sample does not support one.
struct Estimate {
  std::optional<double> value;
  std::optional<double> low;
  std::optional<double> high;
  std::int64_t n = 0;
  std::string why_not;
};

/// How near something came to the limit that bounds it, which is the nearer one of reading and computing (roofline.h).
struct LimitShare {
  double share = 0;
  std::string limit;  ///< "read", "compute"
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
  std::optional<double> mean_prompt_tokens;  ///< of a request, as it was, not as it was asked for
  std::optional<double> mean_output_tokens;
  Estimate ttft_e2e_p50_ns, ttft_e2e_p95_ns, ttft_visible_p50_ns, ttft_kernel_p50_ns;
  Estimate ttft_e2e_p99_ns, ttft_sent_p50_ns, e2e_p50_ns, e2e_p99_ns;
  Estimate tpot_p50_ns, tpot_p99_ns, itl_p50_ns, itl_p99_ns;
  Estimate output_tok_per_s;  ///< median over repetitions
  Estimate decode_tok_per_s, prefill_tok_per_s;
  std::optional<double> tok_per_s_per_user;    ///< 1 / median TPOT
  std::optional<double> tok_per_s_per_device;  ///< output tokens/s / devices, a host being one
  std::optional<double> rate_per_s;            ///< open loop: asked for, or found by server:slo-max
  std::optional<double> achieved_rate_per_s;
  Estimate slo_attainment;                         ///< share of requests that kept the run's SLO; empty without one
  Estimate goodput_req_per_s;                      ///< requests that kept it and ended in the window, per second
  std::optional<double> goodput_tok_per_s;         ///< their output tokens
  std::optional<double> prefix_hit_rate;           ///< prompt tokens that were not computed / prompt tokens
  std::optional<double> read_fraction;             ///< bytes/s that decode has to read / what the machine reads at best
  std::optional<double> flops_fraction;            ///< operations/s of prefill / what the machine does at best
  std::optional<LimitShare> prefill_of_limit;      ///< steps that held prompt tokens only
  std::optional<LimitShare> first_token_of_limit;  ///< time of a request's prefill at its limit / median TTFT
  std::optional<LimitShare> decode_of_limit;       ///< steps that held none
  std::optional<double> first_to_settled;          ///< time per token of the first warm-up window / of the last
  std::optional<std::int64_t> load_ns;             ///< reading the weights and packing them for the device
  std::optional<std::int64_t> compile_ns;          ///< of the cell's steps, before they were first used
  std::optional<double> device_utilisation;        ///< time in steps / time
  std::string bound;                               ///< "bandwidth", "compute", "overhead"; empty: cannot be told
  std::string bound_why;                           ///< one sentence: the figures, and what follows
  std::vector<CheckRecord> checks;                 ///< of each check the worst over repetitions
  std::optional<double> verified_share;            ///< verified output tokens / output tokens, of the timed requests
  std::optional<MemoryUse> memory;                 ///< the largest over repetitions
  std::optional<std::int64_t> peak_rss_bytes;
  std::optional<double> usd_per_1k_output, usd_per_1k_total, device_hours_per_million;
  std::optional<double> others_cpu_share;  ///< the largest over repetitions: was the machine busy with something else?
  /// What the machine could do right after each repetition, all threads together: medians. Cells on the host only.
  std::optional<double> machine_read_bytes_per_s, machine_f32_flops;
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
