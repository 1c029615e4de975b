#pragma once
// The data of summary.json: one row per cell, derived from the samples.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "core/enum_names.h"
#include "core/fields.h"
#include "core/tier.h"
#include "record/failure_record.h"
#include "record/format_version.h"
#include "record/golden_record.h"
#include "record/limit_share.h"
#include "record/repetition.h"
#include "record/scenario.h"
#include "record/schema_text.h"
#include "record/schema_version.h"
#include "record/swap.h"

namespace secondsource {

/// A figure, and the interval in which that of a rerun lies with 95 % (stats/rerun.h). Each is empty if the sample does
/// not support it.
struct Estimate {
  std::optional<double> value;
  std::optional<double> low;
  std::optional<double> high;
  std::int64_t n = 0;
  std::string why_not;  ///< why there is no value, or no interval
};
SS_FIELDS(Estimate, value, low, high, n, why_not)

enum class CellStatus : std::uint8_t {
  kComplete,
  kPartial,  ///< fewer repetitions than planned
  kInvalid,  ///< its own checks reject the measurement
  kFailed,   ///< its backend failed
  kMissing,  ///< it never ran
};
SS_ENUM_NAMES(CellStatus, "complete", "partial", "invalid", "failed", "missing")
SS_SCHEMA_SAYS_STRING(CellStatus)

/// One model of a swap cell.
struct SwapModelSummary {
  std::string model;
  double share = 0;                              ///< of the requests, as planned
  std::int64_t n_requests = 0;                   ///< in one repetition
  std::optional<std::int64_t> resident_bytes{};  ///< the largest over repetitions, as are the next three
  std::optional<std::int64_t> weights_bytes{};
  std::optional<std::int64_t> kv_bytes{};
  std::optional<std::int64_t> file_bytes{};
  Estimate start_disk_ns, start_page_cache_ns, start_host_memory_ns;  ///< beginning of the load to the first token
  Estimate alone_tok_per_s;
  double loads = 0;      ///< in one repetition: the median over repetitions
  double evictions = 0;  ///< likewise
  std::optional<double> usd_per_resident_hour;
};
SS_FIELDS(SwapModelSummary, model, share, n_requests, resident_bytes, weights_bytes, kv_bytes, file_bytes,
          start_disk_ns, start_page_cache_ns, start_host_memory_ns, alone_tok_per_s, loads, evictions,
          usd_per_resident_hour)

/// The figures that only a swap cell has.
struct SwapSummary {
  std::int64_t memory_budget_bytes = 0;  ///< 0: the budget is a number of models
  double loads = 0;                      ///< in one repetition: the median over repetitions
  double evictions = 0;                  ///< likewise
  std::optional<std::int64_t> peak_resident_bytes{};
  std::optional<double> mean_resident_bytes;  ///< over the time of the mix: the median over repetitions
  std::optional<double> mean_resident_models;
  Estimate unswapped_tok_per_s;  ///< the same requests, each model alone on the device
  Estimate lost_tok_per_s;       ///< unswapped - output_tok_per_s, by repetition
  std::optional<double> lost_share;
  std::optional<double> load_time_share;  ///< time in loads and evictions / time of the mix
  std::vector<SwapModelSummary> models;
  std::int32_t budget_models = 0;  ///< 0: the budget is in bytes
  std::string memory_why_not{};    ///< why sizes are absent; empty where none is
};
SS_FIELDS(SwapSummary, memory_budget_bytes, loads, evictions, peak_resident_bytes, mean_resident_bytes,
          mean_resident_models, unswapped_tok_per_s, lost_tok_per_s, lost_share, load_time_share, models, budget_models,
          memory_why_not)
SS_ADDED_FIELDS(SwapSummary, budget_models, memory_why_not)

/// One turn of the conversations of a cell.
struct TurnSummary {
  std::int32_t turn = 0;  ///< from 1
  std::int64_t n_requests = 0;
  std::optional<double> mean_prompt_tokens;
  std::optional<double> mean_cached_tokens;  ///< of the prompt, which were not computed, as far as the system says so
  Estimate ttft_p50_ns;                      ///< from when the turn was due
};
SS_FIELDS(TurnSummary, turn, n_requests, mean_prompt_tokens, mean_cached_tokens, ttft_p50_ns)

/// The figures that only a cell with conversations has.
struct ConversationSummary {
  Estimate first_turn_ttft_p50_ns;
  Estimate later_turns_ttft_p50_ns;                             ///< of all turns behind the first together
  std::optional<double> later_turns_cached_share;               ///< of their prompt tokens, as in TurnSummary
  std::vector<double> later_turns_ttft_p50_ns_by_repetition{};  ///< for the gate
  std::vector<TurnSummary> turns;
};
SS_FIELDS(ConversationSummary, first_turn_ttft_p50_ns, later_turns_ttft_p50_ns, later_turns_cached_share,
          later_turns_ttft_p50_ns_by_repetition, turns)

/// A request that is sent later than this after it was due was sent late (docs/metrics.md).
inline constexpr std::int64_t kLateSendNs = 1'000'000;

/// One row of every report.
struct CellSummary {
  CellKey key;
  Scenario scenario;
  GoldenVerdict golden = GoldenVerdict::kNotRun;
  CellStatus status = CellStatus::kMissing;
  std::vector<std::string> notes;
  std::int32_t n_repetitions = 0;
  std::int64_t n_samples = 0;
  std::int64_t n_errors = 0;
  std::optional<double> mean_prompt_tokens;  ///< per request, as measured and not as requested
  std::optional<double> mean_output_tokens;
  Estimate ttft_e2e_p50_ns, ttft_e2e_p95_ns, ttft_visible_p50_ns, ttft_kernel_p50_ns;
  Estimate ttft_e2e_p99_ns, ttft_sent_p50_ns, e2e_p50_ns, e2e_p99_ns;
  Estimate tpot_p50_ns, tpot_p99_ns, itl_p50_ns, itl_p99_ns;
  Estimate output_tok_per_s;  ///< median over repetitions
  Estimate decode_tok_per_s, prefill_tok_per_s;
  std::optional<double> tok_per_s_per_user;    ///< per second: 1 / median TPOT
  std::optional<double> tok_per_s_per_device;  ///< output tokens/s / devices; a host counts as one device
  std::optional<double> rate_per_s;            ///< open loop: the requested rate, or the rate found by server:slo-max
  std::optional<double> achieved_rate_per_s;
  /// Share of requests that kept the run's SLO, with exact bounds of 95 % each (stats/proportion.h); empty
  /// if the run has none.
  Estimate slo_attainment;
  Estimate goodput_req_per_s;                      ///< requests per second that kept the SLO and ended in the window
  std::optional<double> goodput_tok_per_s;         ///< output tokens per second of those requests
  std::optional<double> prefix_hit_rate;           ///< prompt tokens taken from a shared cache / all prompt tokens
  std::optional<double> read_fraction;             ///< bytes/s that decode must read / the machine's best read rate
  std::optional<double> flops_fraction;            ///< operations/s of prefill / the machine's best rate
  std::optional<LimitShare> prefill_of_limit;      ///< steps with prompt tokens only
  std::optional<LimitShare> first_token_of_limit;  ///< time of a request's prefill at its limit / median TTFT
  std::optional<LimitShare> decode_of_limit;       ///< steps without prompt tokens
  /// Time per token of the first warm-up window / that of the last one.
  std::optional<double> first_to_settled;
  std::optional<std::int64_t> load_ns;       ///< time to read the weights and to pack them for the device
  std::optional<std::int64_t> compile_ns;    ///< time to compile the cell's steps before their first use
  std::optional<double> device_utilisation;  ///< time in steps / total time
  Bottleneck bound = Bottleneck::kUnknown;
  std::string bound_why;                 ///< one sentence with the figures and what follows from them
  std::vector<CheckRecord> checks;       ///< the worst outcome of each check over repetitions
  std::optional<double> verified_share;  ///< verified output tokens / all output tokens of the timed requests
  std::optional<MemoryUse> memory;       ///< the largest over repetitions
  std::optional<std::int64_t> peak_rss_bytes;
  std::optional<double> usd_per_1k_output, usd_per_1k_total, device_hours_per_million;
  /// The largest over repetitions; shows whether the machine was busy with something else.
  std::optional<double> others_cpu_share;
  /// The mean over repetitions of the share of time that was lost to the worst disturbance (CheckRecord::lost).
  std::optional<double> time_lost;
  /// The machine's rates right after each repetition, with all threads together: medians. Only for cells on the host.
  std::optional<double> machine_read_bytes_per_s, machine_f32_flops;
  /// One value per repetition, for the gate: output tokens/s, median TTFT and median TPOT in ns.
  std::vector<double> output_tok_per_s_by_repetition, ttft_p50_ns_by_repetition, tpot_p50_ns_by_repetition;
  Tier tier = Tier::kBlessed;
  std::string outside_limits{};  ///< as in VariantRecord
  /// Medians of the parts of the time to the first token. A part that the system does not measure is empty.
  Estimate ttft_queue_p50_ns{}, ttft_tokenize_p50_ns{}, ttft_transfer_p50_ns{}, ttft_prefill_p50_ns{},
      ttft_sample_p50_ns{};
  Estimate tpot_mean_ns{}, tpot_p90_ns{}, tpot_p95_ns{}, itl_mean_ns{}, itl_p90_ns{}, itl_p95_ns{};
  std::optional<double> busy_vcpus{};         ///< CPU time of the worker / time, over all repetitions
  std::vector<TelemetryReading> telemetry{};  ///< of each sensor the median over repetitions, or why there is none
  /// What output_tok_per_s is: basis_of(scenario).
  std::optional<ThroughputBasis> throughput_basis{};
  std::optional<VerdictLevel> golden_level{};  ///< as in GoldenRecord::level
  std::optional<SwapSummary> swap{};           ///< present for the scenario `swap`
  /// Open loop and conversations: the share of requests that were sent more than kLateSendNs after they were due, and the worst of all.
  std::optional<double> late_send_share{};
  std::optional<std::int64_t> latest_send_ns{};
  /// Scenarios with cancellations: how many requests were cancelled, over all repetitions; the output tokens per second
  /// that a system saves if it stops at once; and, if a server counts its output tokens, how many more it generated
  /// than arrived.
  std::optional<std::int64_t> n_cancelled{};
  std::optional<double> freed_tok_per_s{}, unwanted_tokens{};
  std::optional<ConversationSummary> conversation{};  ///< present for conversations
  std::string source_quantization{};                  ///< as in BundleRecord
};
SS_FIELDS(CellSummary, key, scenario, golden, status, notes, n_repetitions, n_samples, n_errors, mean_prompt_tokens,
          mean_output_tokens, ttft_e2e_p50_ns, ttft_e2e_p95_ns, ttft_visible_p50_ns, ttft_kernel_p50_ns,
          ttft_e2e_p99_ns, ttft_sent_p50_ns, e2e_p50_ns, e2e_p99_ns, tpot_p50_ns, tpot_p99_ns, itl_p50_ns, itl_p99_ns,
          output_tok_per_s, decode_tok_per_s, prefill_tok_per_s, tok_per_s_per_user, tok_per_s_per_device, rate_per_s,
          achieved_rate_per_s, slo_attainment, goodput_req_per_s, goodput_tok_per_s, prefix_hit_rate, read_fraction,
          flops_fraction, prefill_of_limit, first_token_of_limit, decode_of_limit, first_to_settled, load_ns,
          compile_ns, device_utilisation, bound, bound_why, checks, verified_share, memory, peak_rss_bytes,
          usd_per_1k_output, usd_per_1k_total, device_hours_per_million, others_cpu_share, time_lost,
          machine_read_bytes_per_s, machine_f32_flops, output_tok_per_s_by_repetition, ttft_p50_ns_by_repetition,
          tpot_p50_ns_by_repetition, tier, outside_limits, ttft_queue_p50_ns, ttft_tokenize_p50_ns,
          ttft_transfer_p50_ns, ttft_prefill_p50_ns, ttft_sample_p50_ns, busy_vcpus, telemetry, tpot_mean_ns,
          tpot_p90_ns, tpot_p95_ns, itl_mean_ns, itl_p90_ns, itl_p95_ns, throughput_basis, golden_level, swap,
          late_send_share, latest_send_ns, n_cancelled, freed_tok_per_s, unwanted_tokens, conversation,
          source_quantization)
SS_ADDED_FIELDS(CellSummary, time_lost, tpot_p50_ns_by_repetition, tier, outside_limits, ttft_queue_p50_ns,
                ttft_tokenize_p50_ns, ttft_transfer_p50_ns, ttft_prefill_p50_ns, ttft_sample_p50_ns, busy_vcpus,
                telemetry, tpot_mean_ns, tpot_p90_ns, tpot_p95_ns, itl_mean_ns, itl_p90_ns, itl_p95_ns,
                throughput_basis, golden_level, swap, late_send_share, latest_send_ns, n_cancelled, freed_tok_per_s,
                unwanted_tokens, conversation, source_quantization)

/// True if the cell's speed counts. It does not if its tokens are wrong or its own checks reject the measurement: such
/// a row shows its verdict and no figures, and no chart draws it.
[[nodiscard]] bool has_credit(const CellSummary& cell);

/// Why a cell is not complete, in one sentence: of an invalid one, the note on the check that rejects it.
[[nodiscard]] std::string why_incomplete(const CellSummary& cell);

/// How the note on a check that rejects the measurement begins.
inline constexpr std::string_view kInvalidNote = "INVALID: ";

struct RunSummary {
  SchemaVersion<kResultsSchemaVersion> schema_version{};
  std::string run_id;
  std::vector<CellSummary> cells;
  std::vector<GoldenRecord> golden;
  std::vector<FailureRecord> failures;
};
SS_FIELDS(RunSummary, schema_version, run_id, cells, golden, failures)

}  // namespace secondsource
