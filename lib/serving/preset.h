#pragma once
// What each kind of server accepts and reports, as data. docs/systems.md has the same table for readers, with the
// source of each row.

#include <cstdint>
#include <span>
#include <string_view>

#include "record/served_system.h"

namespace secondsource {

/// Where a fact is found: a path below the server's root, and a JSON pointer into the answer.
struct JsonPlace {
  std::string_view path;  ///< "/version"; empty: nowhere
  std::string_view pointer;
  std::string_view older_path{};  ///< where earlier versions of the server have it
};

/// Where a server reports the settings that label a row (record/served_system.h).
struct FeaturePlaces {
  JsonPlace speculative{};            ///< null and false: off
  JsonPlace prefix_cache_disabled{};  ///< a boolean
  JsonPlace kv_cache{};
  std::string_view cache_metric{};        ///< a metric whose labels tell them
  std::string_view prefix_cache_label{};  ///< of that metric
  std::string_view kv_cache_label{};
};

struct NamedPlace {
  std::string_view name;  ///< of the setting, in run.json
  JsonPlace place;
};

/// How log-probabilities of given ids can be had.
enum class ForcedScores : std::uint8_t {
  kNone,
  kVllmPromptLogprobs,   ///< /v1/completions with prompt_logprobs: every position in one request
  kSglangInputLogprobs,  ///< /generate with return_logprob: every position in one request
  kLlamaNProbs,          ///< /completion with n_probs: one request for each position
  kTgiPrefillDetails,    ///< /generate with decoder_input_details: the given ids alone, no alternatives
};

/// How the ids of a generated answer can be had.
enum class GeneratedIds : std::uint8_t {
  kNone,
  kTokenIds,        ///< return_token_ids of the OpenAI API, also while streaming
  kSglangGenerate,  ///< /generate: output_ids
  kLlamaTokens,     ///< /completion with return_tokens
  kTgiDetails,      ///< /generate with details
};

/// How a server that holds several models is told to load and unload them (model_host.h).
enum class ModelControl : std::uint8_t {
  kNone,
  kLlamaRouter,  ///< /models, /models/load and /models/unload of a llama-server that was started without a model
  kOllama,       ///< /api/generate without a prompt, and /api/ps
  kVllmSleep,    ///< /sleep, /wake_up and /is_sleeping of one vLLM for each model
};

/// What one kind of server accepts and reports. The defaults suit any server with an OpenAI API.
struct PresetFacts {
  ServerPreset preset = ServerPreset::kAny;
  std::string_view title;
  std::string_view base_path = "/v1";  ///< where the OpenAI API is, if the URL has no path
  bool takes_ids = false;              ///< a completion's prompt may be token ids
  GeneratedIds ids = GeneratedIds::kNone;
  ForcedScores scores = ForcedScores::kNone;
  bool ignores_eos = false;  ///< by `timed_fields`, so that an answer has exactly the length that was asked for
  bool asks_for_no_prefixes = false;        ///< by `timed_fields`: no work is shared with earlier prompts
  std::string_view timed_fields = "";       ///< JSON object: members of every timed request
  std::string_view continuing_fields = "";  ///< JSON object: members of the turns of a conversation, in place of those
  std::string_view streamed_fields =
      "";  ///< JSON object: members that make each event say how many tokens there are so far
  std::string_view health = "/v1/models";  ///< path that answers with 200 once the server is ready
  JsonPlace version{};
  std::span<const NamedPlace> settings{};
  std::string_view metrics = "";  ///< where it publishes metrics that are known (server_metrics.h), below its root
  FeaturePlaces features{};
  ModelControl model_control = ModelControl::kNone;
  bool tells_model_bytes = false;  ///< it reports the memory of each loaded model
};

[[nodiscard]] const PresetFacts& facts_of(ServerPreset preset);
[[nodiscard]] std::span<const PresetFacts> all_presets();

}  // namespace secondsource
