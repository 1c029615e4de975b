#include "fit/projection.h"

#include <algorithm>
#include <cmath>

#include "core/variant_name.h"
#include "fit/quantity.h"

namespace secondsource {
namespace {

/// Cached tokens that the layers read for a token after `context` others, summed over the layers.
double attended_tokens(const ModelConfig& config, std::int64_t context) {
  double sum = 0;
  for (const std::int64_t window : config.windows) sum += real(window > 0 ? std::min(window, context) : context);
  return sum;
}

/// Pairs of a query and a key in a prompt of `n_tokens`, summed over the layers.
double attended_pairs(const ModelConfig& config, std::int64_t n_tokens) {
  double sum = 0;
  for (const std::int64_t window : config.windows) {
    const double n = real(n_tokens);
    const double w = window > 0 ? std::min(real(window), n) : n;
    sum += w * (w + 1) / 2 + (n - w) * w;
  }
  return sum;
}

/// Bytes of weights that a step of `n_tokens` reads. Each token of a mixture chooses k of E experts; if they choose
/// independently, E (1 - (1 - k / E)^n) different ones are read.
double weight_bytes_of_step(const ModelConfig& config, const ModelMemory& memory, double n_tokens) {
  if (config.n_experts == 0) return memory.read_bytes;
  const double share = real(config.n_experts_per_token) / real(config.n_experts);
  return memory.read_bytes + memory.expert_bytes * (1 - std::pow(1 - share, n_tokens));
}

std::optional<Ceiling> ceiling_of(double n_tokens, std::optional<double> read_s, std::optional<double> operations_s) {
  if (!read_s && !operations_s) return std::nullopt;
  const bool reads_bind = read_s.value_or(0) >= operations_s.value_or(0);
  return Ceiling{.tokens_per_s = n_tokens / std::max(read_s.value_or(0), operations_s.value_or(0)),
                 .limit = reads_bind ? CeilingLimit::kReads : CeilingLimit::kOperations};
}

std::optional<double> quotient(double work, std::optional<double> rate) {
  if (!rate) return std::nullopt;
  return work / *rate;
}

}  // namespace

Rates rates_of(const Hardware& device, std::int64_t n_devices, std::string_view variant) {
  // A device without FP8 or NVFP4 products multiplies in BF16 instead, which holds E4M3 numbers, and E2M1 numbers times
  // E4M3 scales, exactly.
  const bool has_fp8 = multiplies_fp8(variant) && device.peaks.fp8.has_value();
  const bool has_fp4 = multiplies_nvfp4(variant) && device.peaks.fp4.has_value();
  const std::optional<double>& peak = multiplies_int8(variant) ? device.peaks.int8
                                      : has_fp8                ? device.peaks.fp8
                                      : has_fp4                ? device.peaks.fp4
                                      : variant == "f16"       ? device.peaks.fp16
                                                               : device.peaks.bf16;
  Rates rates;
  if (device.bytes_per_s) rates.bytes_per_s = *device.bytes_per_s * real(n_devices);
  if (peak && variant != "f32") rates.flops = *peak * real(n_devices);
  return rates;
}

std::optional<Ceiling> decode_ceiling(const ModelConfig& config, const ModelMemory& memory, const Rates& rates,
                                      std::int64_t n_seqs, std::int64_t context) {
  if (!rates.bytes_per_s || (n_seqs > 1 && !rates.flops)) return std::nullopt;
  const double kv_layer_bytes = real(memory.kv_token_bytes) / real(config.n_layers);
  const double tokens = attended_tokens(config, context);
  const double bytes = weight_bytes_of_step(config, memory, real(n_seqs)) + real(n_seqs) * kv_layer_bytes * tokens;
  // A multiplication and an addition for each weight, and as many for each element of a score and of a weighted value.
  const double flops_of_token =
      2 * memory.n_active_parameters + 2 * real(config.n_heads * (config.head_dim + config.value_dim())) * tokens;
  return ceiling_of(real(n_seqs), quotient(bytes, rates.bytes_per_s),
                    quotient(real(n_seqs) * flops_of_token, rates.flops));
}

std::optional<Ceiling> prefill_ceiling(const ModelConfig& config, const ModelMemory& memory, const Rates& rates,
                                       std::int64_t context) {
  if (!rates.flops) return std::nullopt;
  const double n_head_parameters = real(config.dim * config.vocab_size);
  const double body = memory.n_active_parameters - n_head_parameters;  // logits are only needed for the last token
  // Latent attention may be computed on latents, or on keys and values that are expanded from them. Both use the same
  // weights, but the expanded heads are narrower, so the ceiling is computed for expanded heads.
  const LatentAttention& latent = config.latent;
  const std::int64_t pair_width =
      latent.is_present() ? latent.qk_dim() + latent.value_dim : config.head_dim + config.value_dim();
  const double flops = 2 * (body * real(context) + n_head_parameters) +
                       2 * real(config.n_heads * pair_width) * attended_pairs(config, context);
  return ceiling_of(real(context), quotient(weight_bytes_of_step(config, memory, real(context)), rates.bytes_per_s),
                    quotient(flops, rates.flops));
}

}  // namespace secondsource
