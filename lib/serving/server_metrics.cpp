#include "serving/server_metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/units.h"

namespace secondsource {
namespace {

// Where the names are documented (read on 2026-11-22):
// - vLLM: docs.vllm.ai/en/v0.32.0/usage/metrics. The names with gpu_ are those before 0.10.
// - SGLang: docs.sglang.io/references/production_metrics.html and python/sglang/srt/metrics/collector.py.
// - TGI: huggingface.co/docs/text-generation-inference/reference/metrics.
// - llama-server: tools/server/README.md of ggml-org/llama.cpp, "GET /metrics", and the metrics that the server in the
//   Python package xllamacpp 2026.10.11549 shows, which counts cached prompt tokens apart from the others. Builds before
//   2025 have kv_cache_usage_ratio.
constexpr std::array<KnownMetric, 10> kServerMetrics = {{
    {.reading = "server_requests_running",
     .names = {"vllm:num_requests_running", "sglang:num_running_reqs", "tgi_batch_current_size",
               "llamacpp:requests_processing"},
     .has_most = true},
    {.reading = "server_requests_waiting",
     .names = {"vllm:num_requests_waiting", "sglang:num_queue_reqs", "tgi_queue_size", "llamacpp:requests_deferred"},
     .has_most = true},
    {.reading = "server_kv_cache_utilisation",
     .names = {"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage",
               "llamacpp:kv_cache_usage_ratio"},
     .join = SeriesJoin::kLargest,
     .has_most = true},
    {.reading = "server_preemptions_count",
     .names = {"vllm:num_preemptions_total", "sglang:num_retracted_requests_total"},
     .meaning = MetricMeaning::kSince},
    {.reading = "server_prompt_tokens_count",
     .names = {"vllm:prompt_tokens_total", "sglang:prompt_tokens_total", "tgi_request_input_length_sum",
               "llamacpp:prompt_tokens_total"},
     .meaning = MetricMeaning::kSince},
    {.reading = "server_output_tokens_count",
     .names = {"vllm:generation_tokens_total", "sglang:generation_tokens_total", "tgi_request_generated_tokens_sum",
               "llamacpp:tokens_predicted_total"},
     .meaning = MetricMeaning::kSince},
    {.reading = "server_prefix_asked_count",
     .names = {"vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total", "sglang:prompt_tokens_total",
               "llamacpp:prompt_tokens_total"},
     .plus = "llamacpp:prompt_tokens_cached_total",
     .meaning = MetricMeaning::kSince},
    {.reading = "server_prefix_hit_count",
     .names = {"vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total", "sglang:cached_tokens_total",
               "llamacpp:prompt_tokens_cached_total"},
     .meaning = MetricMeaning::kSince},
    {.reading = "server_drafted_count",
     .names = {"vllm:spec_decode_num_draft_tokens_total", "llamacpp:spec_decode_num_draft_tokens_total"},
     .meaning = MetricMeaning::kSince},
    {.reading = "server_accepted_count",
     .names = {"vllm:spec_decode_num_accepted_tokens_total", "llamacpp:spec_decode_num_accepted_tokens_total"},
     .meaning = MetricMeaning::kSince},
}};

// NVIDIA/dcgm-exporter, etc/default-counters.csv (4.6.0-4.8.3), with the units that stand there; the bits are those of
// nvml.h, nvmlClocksEventReason*: software power cap 0x4; software and hardware thermal slowdown 0x20 and 0x40; hardware
// slowdown 0x8 and power brake 0x80. The readings have the names of our own sensors (backend_kit/device_sensors.h).
constexpr std::array<KnownMetric, 11> kDeviceMetrics = {{
    {.reading = "device_utilisation", .names = {"DCGM_FI_DEV_GPU_UTIL"}, .join = SeriesJoin::kMean, .scale = 0.01},
    {.reading = "device_memory_busy", .names = {"DCGM_FI_DEV_MEM_COPY_UTIL"}, .join = SeriesJoin::kMean, .scale = 0.01},
    {.reading = "device_memory_bandwidth_utilisation",
     .names = {"DCGM_FI_PROF_DRAM_ACTIVE"},
     .join = SeriesJoin::kMean},
    {.reading = "device_memory_used_bytes", .names = {"DCGM_FI_DEV_FB_USED"}, .scale = kMebibyte},
    {.reading = "device_power_w", .names = {"DCGM_FI_DEV_POWER_USAGE"}},
    {.reading = "device_clock_hz", .names = {"DCGM_FI_DEV_SM_CLOCK"}, .join = SeriesJoin::kMean, .scale = 1e6},
    {.reading = "device_memory_clock_hz", .names = {"DCGM_FI_DEV_MEM_CLOCK"}, .join = SeriesJoin::kMean, .scale = 1e6},
    {.reading = "device_temperature_c", .names = {"DCGM_FI_DEV_GPU_TEMP"}, .join = SeriesJoin::kLargest},
    {.reading = "device_throttled_power",
     .names = {"DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"},
     .meaning = MetricMeaning::kReasons,
     .join = SeriesJoin::kLargest,
     .bits = 0x4},
    {.reading = "device_throttled_thermal",
     .names = {"DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"},
     .meaning = MetricMeaning::kReasons,
     .join = SeriesJoin::kLargest,
     .bits = 0x20 | 0x40},
    {.reading = "device_throttled_hardware",
     .names = {"DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"},
     .meaning = MetricMeaning::kReasons,
     .join = SeriesJoin::kLargest,
     .bits = 0x8 | 0x80},
}};

constexpr std::array<MetricRatio, 2> kRatios = {
    {{"server_prefix_hit_share", "server_prefix_hit_count", "server_prefix_asked_count"},
     {"server_draft_accepted_share", "server_accepted_count", "server_drafted_count"}}};

// DCGM writes values near the largest integer for "blank" (dcgm_structs.h: DCGM_INT64_BLANK is 0x7ffffffffffffff0), and
// no figure that is read here is as large.
constexpr double kMost = 1e18;

/// SGLang publishes some metrics once for each rank of a model that is split over devices, and once for each priority
/// besides their sum. True for such repetitions, which would count the same requests again.
bool is_again(const MetricSample& sample) {
  const auto is_other = [&](std::string_view label) {
    const std::string_view rank = sample.label(label);
    return !rank.empty() && rank != "0";
  };
  return is_other("tp_rank") || is_other("pp_rank") || !sample.label("priority").empty();
}

double value_of(const KnownMetric& known, double value) {
  if (known.meaning != MetricMeaning::kReasons) return known.scale * value;
  return (static_cast<std::uint64_t>(std::max(value, 0.0)) & known.bits) != 0 ? 1.0 : 0.0;
}

/// nullopt if no series of this name has a value.
std::optional<double> joined(const KnownMetric& known, std::string_view name, std::span<const MetricSample> samples) {
  double sum = 0;
  double largest = 0;
  int n_series = 0;
  for (const MetricSample& sample : samples) {
    if (sample.name != name || !std::isfinite(sample.value) || std::abs(sample.value) > kMost || is_again(sample)) {
      continue;
    }
    const double value = value_of(known, sample.value);
    largest = n_series == 0 ? value : std::max(largest, value);
    sum += value;
    ++n_series;
  }
  if (n_series == 0) return std::nullopt;
  switch (known.join) {
    case SeriesJoin::kSum:
      return sum;
    case SeriesJoin::kMean:
      return sum / n_series;
    case SeriesJoin::kLargest:
      return largest;
  }
  return std::nullopt;
}

}  // namespace

std::span<const KnownMetric> known_server_metrics() {
  return kServerMetrics;
}

std::span<const KnownMetric> known_device_metrics() {
  return kDeviceMetrics;
}

std::span<const MetricRatio> metric_ratios() {
  return kRatios;
}

bool MetricTranslator::is_wanted(std::string_view name) const {
  return std::ranges::any_of(known_, [name](const KnownMetric& known) {
    return !name.empty() && (name == known.plus || std::ranges::find(known.names, name) != known.names.end());
  });
}

std::vector<MetricReading> MetricTranslator::translate(std::span<const MetricSample> samples) {
  std::vector<MetricReading> readings;
  for (std::size_t index = 0; index < known_.size(); ++index) {
    const KnownMetric& known = known_[index];
    std::optional<double> value;
    for (const std::string_view name : known.names) {
      if (name.empty() || value) break;
      value = joined(known, name, samples);
    }
    if (!value) continue;
    if (!known.plus.empty()) value = *value + joined(known, known.plus, samples).value_or(0);
    if (known.meaning == MetricMeaning::kSince) {
      const std::optional<double> before = counters_[index];
      counters_[index] = value;
      if (!before) continue;
      // A counter that decreased belongs to a server that was restarted and counts from zero.
      value = *value >= *before ? *value - *before : *value;
    }
    readings.push_back({std::string(known.reading), *value});
    if (known.has_most) readings.push_back({std::string(known.reading) + "_max", *value});
  }
  return readings;
}

}  // namespace secondsource
