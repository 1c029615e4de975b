#include "runner/cell_estimate.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/weights.h"
#include "core/variant_name.h"
#include "measure/capacity_search.h"
#include "systems/workload.h"

namespace secondsource {
namespace {

// Conservative rates of one server CPU. kOracleFlops is an optimistic rate for the oracle's plain loops.
constexpr double kFlopsPerUnit = 2e10;
constexpr double kBytesPerSPerUnit = 5e9;
constexpr double kOracleFlops = 7e8;
constexpr double kStepOverheadS = 2e-4;
// Typical length of a suite's prompts.
constexpr double kTypicalPromptTokens = 150;
constexpr double kWarmUpShare = 0.2;
// Attempts of full length in a search for the highest rate; those that fail early are counted with those that do not.
constexpr double kTypicalAttempts = 8;

}  // namespace

double bytes_per_weight(std::string_view variant) {
  if (variant == "f32") return 4;
  for (const WeightEncoding encoding : kBlockEncodings) {
    const BlockForm form = block_form(encoding);
    if (variant == fmt::format("gguf-{}", to_string(encoding))) {
      return static_cast<double>(form.n_bytes) / static_cast<double>(form.n_cols);
    }
  }
  if (has_int4_weights(variant)) return 0.56;
  if (variant.find("int8-g") != std::string_view::npos || variant == "gguf-q8_0") return 1.06;
  if (variant.find("int8") != std::string_view::npos || has_fp8_weights(variant)) return 1;
  return 2;
}

ModelSize model_size(const ModelConfig& config) {
  const LatentAttention& latent = config.latent;
  const std::int64_t queries = config.n_heads * latent.qk_dim();
  const std::int64_t of_queries = latent.q_rank > 0 ? latent.q_rank * (config.dim + queries) : config.dim * queries;
  const std::int64_t attention = latent.is_present()
                                     ? of_queries + config.dim * (config.head_dim + config.n_heads * latent.value_dim) +
                                           config.n_heads * latent.kv_rank * (latent.plain_dim + latent.value_dim)
                                     : config.dim * (2 * config.q_dim() + 2 * config.kv_dim());
  const auto n_mixtures = std::ranges::count(config.mixture_layers, true);
  const std::int64_t ffn_dims =
      (config.n_layers - n_mixtures) * config.ffn_dim +
      n_mixtures * (config.expert_ffn_dim * config.n_experts_per_token + config.shared_ffn_dim);
  return {config.n_layers * attention + 3 * config.dim * ffn_dims + config.dim * config.vocab_size};
}

double capacity_seconds(std::int32_t repetitions, double probe_s) {
  return (kTypicalAttempts + CapacitySearch::Options().hold_factor + std::max(1, repetitions)) * probe_s;
}

double estimate_seconds(const PlannedCell& cell, const ModelSize& size, std::string_view variant, double n_units,
                        bool is_slow, double cell_budget_s) {
  const Scenario& scenario = cell.scenario;
  const double flops_per_token = 2.0 * static_cast<double>(size.n_parameters);
  const double flops_per_s = is_slow ? kOracleFlops : kFlopsPerUnit * n_units;
  double prompt_tokens = scenario.n_prompt_tokens > 0 ? scenario.n_prompt_tokens : kTypicalPromptTokens;
  if (scenario.has_conversations()) {
    const std::int64_t first_and_last = tokens_of_turn(scenario, 0) + tokens_of_turn(scenario, scenario.turns - 1);
    prompt_tokens = static_cast<double>(first_and_last) / 2;
  }
  const double prefill_s = prompt_tokens * flops_per_token / flops_per_s + kStepOverheadS;
  const bool is_full = scenario.kind == ScenarioKind::kOffline || scenario.seeks_slo_rate;
  const double together = is_full ? scenario.batch : 1.0;
  const double stream_s =
      is_slow ? 0 : static_cast<double>(size.n_parameters) * bytes_per_weight(variant) / (kBytesPerSPerUnit * n_units);
  const double step_s = std::max(stream_s, together * flops_per_token / flops_per_s) + kStepOverheadS;
  const double request_s = prefill_s + scenario.n_output_tokens * step_s / together;
  if (scenario.seeks_slo_rate) {
    const CapacitySearch::Options attempt;
    const double fewest = std::max(attempt.fewest_requests, attempt.service_times * scenario.batch);
    return capacity_seconds(cell.repetitions, scenario.n_requests > 0 ? scenario.n_requests * request_s
                                                                      : std::max(attempt.probe_s, fewest * request_s));
  }
  double repetition_s = scenario.n_requests * request_s;
  if (scenario.kind == ScenarioKind::kServer && scenario.rate_per_s > 0)
    repetition_s = std::max(repetition_s, 1.0 * scenario.n_requests / scenario.turns / scenario.rate_per_s);
  // In a closed loop all users of a batch think in parallel; with arrivals, the pauses of the last conversation count.
  const double n_pauses =
      scenario.kind == ScenarioKind::kServer ? scenario.turns : 1.0 * scenario.n_requests / scenario.batch;
  if (scenario.has_conversations()) repetition_s += n_pauses * scenario.think_s;
  const double repetitions = std::max(1, cell.repetitions);
  if (scenario.kind == ScenarioKind::kSingleStream && cell_budget_s > 0) {
    repetition_s = std::min(repetition_s, std::max(request_s, cell_budget_s / repetitions));
  }
  return repetitions * repetition_s * (1.0 + kWarmUpShare);
}

}  // namespace secondsource
