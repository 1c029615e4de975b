#include "serving/preset.h"

#include <array>
#include <cstddef>

#include "core/check.h"

namespace secondsource {
namespace {

constexpr std::array<NamedPlace, 2> kVllmSettings = {
    {{"max_model_len", {"/v1/models", "/data/0/max_model_len"}}, {"model_root", {"/v1/models", "/data/0/root"}}}};
// The answer also contains the server's own API key, so only named members are taken from it.
constexpr std::array<NamedPlace, 12> kSglangSettings = {
    {{"model_path", {"/server_info", "/model_path", "/get_server_info"}},
     {"dtype", {"/server_info", "/dtype", "/get_server_info"}},
     {"quantization", {"/server_info", "/quantization", "/get_server_info"}},
     {"kv_cache_dtype", {"/server_info", "/kv_cache_dtype", "/get_server_info"}},
     {"tp_size", {"/server_info", "/tp_size", "/get_server_info"}},
     {"attention_backend", {"/server_info", "/attention_backend", "/get_server_info"}},
     {"context_length", {"/server_info", "/context_length", "/get_server_info"}},
     {"chunked_prefill_size", {"/server_info", "/chunked_prefill_size", "/get_server_info"}},
     {"disable_radix_cache", {"/server_info", "/disable_radix_cache", "/get_server_info"}},
     {"disable_cuda_graph", {"/server_info", "/disable_cuda_graph", "/get_server_info"}},
     {"speculative_algorithm", {"/server_info", "/speculative_algorithm", "/get_server_info"}},
     {"max_running_requests", {"/server_info", "/max_running_requests", "/get_server_info"}}}};
constexpr std::array<NamedPlace, 7> kTgiSettings = {{{"model_id", {"/info", "/model_id"}},
                                                     {"model_sha", {"/info", "/model_sha"}},
                                                     {"revision", {"/info", "/sha"}},
                                                     {"max_concurrent_requests", {"/info", "/max_concurrent_requests"}},
                                                     {"max_input_tokens", {"/info", "/max_input_tokens"}},
                                                     {"max_total_tokens", {"/info", "/max_total_tokens"}},
                                                     {"docker_label", {"/info", "/docker_label"}}}};
constexpr std::array<NamedPlace, 3> kLlamaSettings = {{{"model_path", {"/props", "/model_path"}},
                                                       {"total_slots", {"/props", "/total_slots"}},
                                                       {"n_ctx", {"/props", "/default_generation_settings/n_ctx"}}}};
constexpr std::array<NamedPlace, 2> kOpenVinoSettings = {
    {{"server", {"/v2", "/name"}}, {"extensions", {"/v2", "/extensions"}}}};

constexpr std::array<PresetFacts, 12> kPresets = {{
    {.preset = ServerPreset::kVllm,
     .title = "vLLM",
     .takes_ids = true,
     .ids = GeneratedIds::kTokenIds,
     .scores = ForcedScores::kVllmPromptLogprobs,
     .ignores_eos = true,
     .timed_fields = R"({"ignore_eos": true, "return_token_ids": true})",
     .streamed_fields = R"({"continuous_usage_stats": true})",
     .health = "/health",
     .version = {"/version", "/version"},
     .settings = kVllmSettings,
     .metrics = "/metrics",
     .features = {.cache_metric = "vllm:cache_config_info",
                  .prefix_cache_label = "enable_prefix_caching",
                  .kv_cache_label = "cache_dtype"},
     .model_control = ModelControl::kVllmSleep},
    {.preset = ServerPreset::kSglang,
     .title = "SGLang",
     .takes_ids = true,
     .ids = GeneratedIds::kSglangGenerate,
     .scores = ForcedScores::kSglangInputLogprobs,
     .ignores_eos = true,
     .timed_fields = R"({"ignore_eos": true})",
     .streamed_fields = R"({"continuous_usage_stats": true})",
     .health = "/health",
     .version = {"/server_info", "/version", "/get_server_info"},
     .settings = kSglangSettings,
     .metrics = "/metrics",
     .features = {.speculative = {"/server_info", "/speculative_algorithm", "/get_server_info"},
                  .prefix_cache_disabled = {"/server_info", "/disable_radix_cache", "/get_server_info"},
                  .kv_cache = {"/server_info", "/kv_cache_dtype", "/get_server_info"}}},
    {.preset = ServerPreset::kTgi,
     .title = "TGI",
     .ids = GeneratedIds::kTgiDetails,
     .scores = ForcedScores::kTgiPrefillDetails,
     .health = "/health",
     .version = {"/info", "/version"},
     .settings = kTgiSettings,
     .metrics = "/metrics"},
    {.preset = ServerPreset::kTensorRtLlm, .title = "TensorRT-LLM", .health = "/health/ready"},
    {.preset = ServerPreset::kLlamaServer,
     .title = "llama-server",
     .takes_ids = true,
     .ids = GeneratedIds::kLlamaTokens,
     .scores = ForcedScores::kLlamaNProbs,
     .ignores_eos = true,
     .asks_for_no_prefixes = true,
     .timed_fields = R"({"ignore_eos": true, "cache_prompt": false, "timings_per_token": true})",
     .continuing_fields = R"({"cache_prompt": true})",
     .health = "/health",
     .version = {"/props", "/build_info"},
     .settings = kLlamaSettings,
     .metrics = "/metrics",
     .features = {.speculative = {"/slots", "/0/speculative"}},
     .model_control = ModelControl::kLlamaRouter},
    {.preset = ServerPreset::kMlc, .title = "MLC", .takes_ids = true},
    {.preset = ServerPreset::kOllama,
     .title = "Ollama",
     .health = "/api/version",
     .version = {"/api/version", "/version"},
     .model_control = ModelControl::kOllama,
     .tells_model_bytes = true},
    {.preset = ServerPreset::kLmdeploy,
     .title = "LMDeploy",
     .ignores_eos = true,
     .timed_fields = R"({"ignore_eos": true})"},
    {.preset = ServerPreset::kLmStudio, .title = "LM Studio"},
    {.preset = ServerPreset::kTransformers, .title = "transformers serve", .health = "/health"},
    {.preset = ServerPreset::kOpenVino,
     .title = "OpenVINO Model Server",
     .base_path = "/v3",
     .ignores_eos = true,
     .timed_fields = R"({"ignore_eos": true})",
     .health = "/v2/health/ready",
     .version = {"/v2", "/version"},
     .settings = kOpenVinoSettings},
    {.preset = ServerPreset::kAny, .title = "OpenAI-compatible server"},
}};

constexpr bool is_in_order() {
  for (std::size_t index = 0; index < kPresets.size(); ++index) {
    if (kPresets[index].preset != static_cast<ServerPreset>(index)) return false;
  }
  return kPresets.size() == names_of(ServerPreset{}).size();
}
static_assert(is_in_order(), "one row for each preset, in their order");

}  // namespace

const PresetFacts& facts_of(ServerPreset preset) {
  const auto index = static_cast<std::size_t>(preset);
  SS_CHECK(index < kPresets.size(), "a preset of the list");
  return kPresets[index];
}

std::span<const PresetFacts> all_presets() {
  return kPresets;
}

}  // namespace secondsource
