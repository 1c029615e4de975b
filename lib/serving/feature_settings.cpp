#include "serving/feature_settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <span>

#include "core/enum_format.h"
#include "core/utf8.h"
#include "serving/preset.h"

namespace secondsource {
namespace {

constexpr std::size_t kLongestFeature = 100;

/// The ways to give a server one setting with a value.
struct ValueFlags {
  std::array<std::string_view, 4> flags{};
  std::array<std::string_view, 3> variables{};  ///< of the environment, which count where no flag is given
};

/// Flags of a server's command line, and what holds without them; empty: that is not known.
struct FeatureFlags {
  std::array<std::string_view, 4> programs{};  ///< the words by which a command is recognized as this server's own
  ValueFlags files{};                          ///< those that read more settings from a file
  ValueFlags speculative{};                    ///< the value says which kind
  std::string_view speculative_default{};
  std::array<std::string_view, 2> prefix_on{};
  std::array<std::string_view, 2> prefix_off{};
  std::string_view prefix_default{};
  /// Of the keys and of the values; a server that has one setting for both has no second one.
  std::array<ValueFlags, 2> kv_cache{};
  std::string_view kv_cache_default{};
};

// docs.vllm.ai/en/v0.32.0/cli/serve; docs.sglang.io/advanced_features/server_arguments.html; tools/server/README.md of
// ggml-org/llama.cpp; huggingface.co/docs/text-generation-inference/reference/launcher. Read on 2026-11-22. Whether vLLM
// keeps prefixes without a flag depends on the model and the version, and TGI decides by the model.
constexpr FeatureFlags kVllmFlags = {
    .programs = {"vllm", "vllm.entrypoints.cli.main", "vllm.entrypoints.openai.api_server"},
    .files = {.flags = {"--config"}},
    .speculative = {.flags = {"--speculative-config", "--speculative_config", "-sc"}},
    .speculative_default = "off",
    .prefix_on = {"--enable-prefix-caching", "--enable_prefix_caching"},
    .prefix_off = {"--no-enable-prefix-caching", "--no-enable_prefix_caching"},
    .kv_cache = {{{.flags = {"--kv-cache-dtype", "--kv_cache_dtype"}}}},
    .kv_cache_default = "auto"};
constexpr FeatureFlags kSglangFlags = {.programs = {"sglang", "sglang.launch_server"},
                                       .files = {.flags = {"--config"}},
                                       .speculative = {.flags = {"--speculative-algorithm"}},
                                       .speculative_default = "off",
                                       .prefix_off = {"--disable-radix-cache"},
                                       .prefix_default = "on",
                                       .kv_cache = {{{.flags = {"--kv-cache-dtype"}}}},
                                       .kv_cache_default = "auto"};
constexpr FeatureFlags kLlamaFlags = {
    .programs = {"llama-server"},
    .files = {.flags = {"--models-preset"}, .variables = {"LLAMA_ARG_MODELS_PRESET"}},
    .speculative = {.flags = {"--model-draft", "-md", "--spec-type", "--hf-repo-draft"},
                    .variables = {"LLAMA_ARG_MODEL_DRAFT", "LLAMA_ARG_SPEC_TYPE", "LLAMA_ARG_HFD_REPO"}},
    .speculative_default = "off",
    .kv_cache = {{{.flags = {"--cache-type-k", "-ctk"}, .variables = {"LLAMA_ARG_CACHE_TYPE_K"}},
                  {.flags = {"--cache-type-v", "-ctv"}, .variables = {"LLAMA_ARG_CACHE_TYPE_V"}}}},
    .kv_cache_default = "f16"};
constexpr FeatureFlags kTgiFlags = {.speculative = {.flags = {"--speculate"}, .variables = {"SPECULATE"}},
                                    .kv_cache = {{{.flags = {"--kv-cache-dtype"}, .variables = {"KV_CACHE_DTYPE"}}}}};

const FeatureFlags* flags_of(ServerPreset preset) {
  switch (preset) {
    case ServerPreset::kVllm:
      return &kVllmFlags;
    case ServerPreset::kSglang:
      return &kSglangFlags;
    case ServerPreset::kLlamaServer:
      return &kLlamaFlags;
    case ServerPreset::kTgi:
      return &kTgiFlags;
    default:
      return nullptr;
  }
}

/// The value of `flag` in a command, behind it or after "="; nullopt if the flag is not there.
std::optional<std::string> flag_value(const std::vector<std::string>& words, std::string_view flag) {
  if (flag.empty()) return std::nullopt;
  for (std::size_t index = 0; index < words.size(); ++index) {
    const std::string_view word = words[index];
    if (word == flag) return index + 1 < words.size() ? words[index + 1] : std::string();
    if (word.starts_with(flag) && word.substr(flag.size()).starts_with('=')) {
      return std::string(word.substr(flag.size() + 1));
    }
  }
  return std::nullopt;
}

bool has_any(const std::vector<std::string>& words, std::span<const std::string_view> flags) {
  return std::ranges::any_of(flags, [&](std::string_view flag) { return flag_value(words, flag).has_value(); });
}

/// The values that the command gives for a setting, each once, as "ngram" or "draft.gguf, ngram"; else those of its
/// environment.
std::string value_of(const ServerCommand& command, const ValueFlags& ways) {
  std::vector<std::string> values;
  const auto add = [&values](const std::string& value) {
    if (std::ranges::find(values, value) == values.end()) values.push_back(shown(value, kLongestFeature));
  };
  for (const std::string_view flag : ways.flags) {
    if (const auto value = flag_value(command.words, flag)) add(*value);
  }
  if (values.empty()) {
    for (const auto& [name, value] : command.environment) {
      if (std::ranges::find(ways.variables, name) != ways.variables.end()) add(value);
    }
  }
  return fmt::format("{}", fmt::join(values, ", "));
}

/// The type of the cache: one for keys and values, or "q8_0, f16". `otherwise` holds for what is not given; empty: it is not
/// known, and then nothing is.
std::string kv_cache_of(const ServerCommand& command, const FeatureFlags& flags, std::string_view otherwise) {
  std::vector<std::string> halves;
  for (const ValueFlags& ways : flags.kv_cache) {
    if (ways.flags.front().empty()) continue;
    std::string half = value_of(command, ways);
    if (half.empty()) half = otherwise;
    if (half.empty()) return "";
    if (std::ranges::find(halves, half) == halves.end()) halves.push_back(std::move(half));
  }
  return fmt::format("{}", fmt::join(halves, ", "));
}

bool names_program(const std::vector<std::string>& words, const FeatureFlags& flags) {
  return std::ranges::any_of(words, [&](const std::string& word) {
    const std::string_view name = std::string_view(word).substr(word.rfind('/') + 1);
    return !name.empty() && std::ranges::find(flags.programs, name) != flags.programs.end();
  });
}

/// What the command line and its environment set; nullopt for a setting that they do not determine.
ToldFeatures said_by_command(ServerPreset preset, const ServerCommand& command) {
  ToldFeatures said;
  const FeatureFlags* const flags = flags_of(preset);
  const std::vector<std::string>& words = command.words;
  if (flags == nullptr || words.empty()) return said;
  // A script, the entry point of an image or a file of settings may add flags; then the absence of a flag proves
  // nothing.
  const bool is_whole =
      names_program(words, *flags) && !has_any(words, flags->files.flags) && value_of(command, flags->files).empty();
  const auto or_default = [is_whole](std::string value, std::string_view otherwise) {
    if (value.empty() && is_whole) value = otherwise;
    return value.empty() ? std::nullopt : std::optional(std::move(value));
  };
  said.speculative = or_default(value_of(command, flags->speculative), flags->speculative_default);
  const std::string_view kv_cache_default = is_whole ? flags->kv_cache_default : std::string_view();
  said.kv_cache = or_default(kv_cache_of(command, *flags, kv_cache_default), kv_cache_default);
  const bool is_on = has_any(words, flags->prefix_on);
  const bool is_off = has_any(words, flags->prefix_off);
  said.prefix_cache = or_default(is_off ? "off" : is_on ? "on" : "", flags->prefix_default);
  return said;
}

/// "on" and a description of how it is on agree: one source may report less detail than the other.
bool agrees(std::string_view planned, std::string_view known) {
  return planned == known || (known == "on" && planned != "off") || (planned == "on" && known != "off");
}

Result<FeatureSetting> settled(std::string_view name, const std::optional<std::string>& told,
                               const std::optional<std::string>& commanded, const std::optional<std::string>& requested,
                               const std::string& planned) {
  FeatureSetting setting;
  const auto take = [&](const std::optional<std::string>& value, SettingSource source) {
    if (setting.source == SettingSource::kUnknown && value) setting = {*value, source};
  };
  take(requested, SettingSource::kRequest);
  take(told, SettingSource::kServer);
  take(commanded, SettingSource::kCommand);
  if (planned.empty()) return setting;
  if (setting.source == SettingSource::kUnknown) return FeatureSetting{planned, SettingSource::kPlan};
  if (!agrees(planned, setting.value)) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{0}: expected the plan and the {2} to agree; the plan "
                                                       "has {1}, the {2} has {3}",
                                                       name, planned, to_string(setting.source), setting.value)};
  }
  // The plan may have more detail where the other source says only "on".
  if (setting.value == "on") setting.value = planned;
  return setting;
}

}  // namespace

std::string in_one_spelling(std::string_view value) {
  std::string lower(value);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const std::string_view on : {"on", "true", "yes", "1", "enabled"}) {
    if (lower == on) return "on";
  }
  for (const std::string_view off : {"off", "false", "no", "0", "disabled", "none", "null"}) {
    if (lower == off) return "off";
  }
  return std::string(value);
}

Result<std::string> planned_feature(std::string_view key, std::string_view value) {
  const bool is_switch = key == "prefix_cache";
  if (value.size() > kLongestFeature || shown(value) != value) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected one short line of text, found {}", key,
                                                       in_quotes(shown(value, kLongestFeature)))};
  }
  std::string spelled = key == "kv_cache" ? std::string(value) : in_one_spelling(value);
  if (is_switch && spelled != "on" && spelled != "off") {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected on or off, found {}", key, in_quotes(value))};
  }
  return spelled;
}

ServerCommand server_command(const ManagedStart& managed, ServerPreset preset) {
  ServerCommand command{.words = managed.start, .environment = managed.env};
  const FeatureFlags* const flags = flags_of(preset);
  // A container gets no variable of this program's environment.
  if (flags == nullptr || !managed.image.empty()) return command;
  for (const ValueFlags& ways : {flags->files, flags->speculative, flags->kv_cache[0], flags->kv_cache[1]}) {
    for (const std::string_view variable : ways.variables) {
      const std::string name(variable);
      const char* const inherited = std::getenv(name.c_str());
      const bool is_planned =
          std::ranges::any_of(managed.env, [&](const auto& planned) { return planned.first == name; });
      if (inherited != nullptr && !is_planned) command.environment.emplace_back(name, inherited);
    }
  }
  return command;
}

PlannedFeatures with_command(ServerPreset preset, const ServerCommand& command, PlannedFeatures planned) {
  const ToldFeatures commanded = said_by_command(preset, command);
  if (planned.speculative.empty()) planned.speculative = commanded.speculative.value_or("");
  // With such a preset every request turns the prefix cache off itself.
  if (planned.prefix_cache.empty() && !facts_of(preset).asks_for_no_prefixes) {
    planned.prefix_cache = commanded.prefix_cache.value_or("");
  }
  if (planned.kv_cache.empty()) planned.kv_cache = commanded.kv_cache.value_or("");
  return planned;
}

Result<ServedFeatures> settled_features(ServerPreset preset, const ToldFeatures& told, const ServerCommand& command,
                                        const PlannedFeatures& planned) {
  const ToldFeatures commanded = said_by_command(preset, command);
  // Each request to llama-server turns the prefix cache off: timed_fields of the preset.
  std::optional<std::string> requested;
  if (facts_of(preset).asks_for_no_prefixes) requested = "off";
  ServedFeatures features;
  SS_TRY(features.speculative,
         settled("speculative", told.speculative, commanded.speculative, std::nullopt, planned.speculative));
  SS_TRY(features.prefix_cache,
         settled("prefix_cache", told.prefix_cache, commanded.prefix_cache, requested, planned.prefix_cache));
  SS_TRY(features.kv_cache, settled("kv_cache", told.kv_cache, commanded.kv_cache, std::nullopt, planned.kv_cache));
  return features;
}

}  // namespace secondsource
