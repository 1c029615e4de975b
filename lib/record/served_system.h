#pragma once
// What run.json records about a system behind a URL: what was requested, and what could be read from it. It contains no
// API key; where to find the key must be given again when a run is resumed (docs/systems.md).

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/enum_names.h"
#include "core/fields.h"

namespace secondsource {

/// The kind of server, which decides what can be asked of it (serving/preset.h).
enum class ServerPreset : std::uint8_t {
  kVllm,
  kSglang,
  kTgi,
  kTensorRtLlm,
  kLlamaServer,
  kMlc,
  kOllama,
  kLmdeploy,
  kLmStudio,
  kTransformers,
  kOpenVino,
  kAny,  ///< only what the OpenAI API itself defines
};
SS_ENUM_NAMES(ServerPreset, "vllm", "sglang", "tgi", "tensorrt-llm", "llama-server", "mlc", "ollama", "lmdeploy",
              "lm-studio", "transformers", "openvino", "any")

enum class ServedApi : std::uint8_t { kCompletions, kChat };
SS_ENUM_NAMES(ServedApi, "completions", "chat")

enum class HttpVersion : std::uint8_t {
  kAutomatic,  ///< HTTP/2 where TLS agrees on it, otherwise HTTP/1.1
  kHttp1,
  kHttp2,  ///< without TLS by prior knowledge
};
SS_ENUM_NAMES(HttpVersion, "automatic", "1.1", "2")

/// How this program starts and stops a server, as a process of its own or in a container. In the words of a command,
/// {model} stands for the folder with the model's files, as the server sees it, and {port} for the port on which it is
/// to listen.
struct ManagedStart {
  std::vector<std::string> start;                        ///< the command; for a container the arguments of its image
  std::vector<std::pair<std::string, std::string>> env;  ///< added to the server's environment
  std::vector<std::string> stop;                         ///< the command that ends it; empty: SIGTERM, or `ENGINE stop`
  std::string health;                                    ///< path that answers with 200 once the server is ready
  double start_deadline_s = 0;                           ///< a server that is not ready by then hangs
  double stop_deadline_s = 0;                            ///< a server that has not ended by then is killed
  std::string image;                                     ///< of a container, with its digest; empty: a process
  std::string engine;                                    ///< of containers: "podman", "docker" or a path
  std::vector<std::string> engine_options;               ///< for its `run`, in front of the image
  std::string engine_version{};                          ///< as the engine says it
  std::string image_id{};                                ///< as the engine knows the image
  friend bool operator==(const ManagedStart&, const ManagedStart&) = default;
};
SS_FIELDS(ManagedStart, start, env, stop, health, start_deadline_s, stop_deadline_s, image, engine, engine_options,
          engine_version, image_id)

/// The source of a setting.
enum class SettingSource : std::uint8_t {
  kUnknown,  ///< nobody: the value is empty
  kServer,   ///< the server, when it was asked
  kCommand,  ///< the command line by which this program starts it
  kRequest,  ///< this program: it asks for it in every request
  kPlan,     ///< the plan's own words, which nothing confirms
};
SS_ENUM_NAMES(SettingSource, "unknown", "server", "command", "request", "plan")

struct FeatureSetting {
  std::string value;  ///< "on", "off", or what it is, such as "ngram" or "fp8_e5m2"
  SettingSource source = SettingSource::kUnknown;
  friend bool operator==(const FeatureSetting&, const FeatureSetting&) = default;
};
SS_FIELDS(FeatureSetting, value, source)

/// Settings that change results so much that rows are always labelled with them.
struct ServedFeatures {
  FeatureSetting speculative;   ///< decoding with a draft: "off", "on", or how
  FeatureSetting prefix_cache;  ///< whether prompts that begin alike share work: "on" or "off"
  FeatureSetting kv_cache;      ///< the type of its elements, as the server names it; "auto": that of the model
  friend bool operator==(const ServedFeatures&, const ServedFeatures&) = default;
};
SS_FIELDS(ServedFeatures, speculative, prefix_cache, kv_cache)

/// One of several models that a server holds: the bundle whose model it is, and how requests name it.
struct ServedModel {
  std::string bundle;
  std::string model;  ///< the name that requests carry
  std::string url;    ///< as ServedSystem::url, of a server that serves this model alone; empty: the system's own
  friend bool operator==(const ServedModel&, const ServedModel&) = default;
};
SS_FIELDS(ServedModel, bundle, model, url)

struct ServedSystem {
  std::string url;  ///< with the path in front of /completions: "http://host:8000/v1"
  ServerPreset preset = ServerPreset::kAny;
  ServedApi api = ServedApi::kCompletions;
  HttpVersion http = HttpVersion::kAutomatic;
  std::string model;                                          ///< the name that requests carry
  bool needs_key = false;                                     ///< the run was given a key for it
  double timeout_s = 0;                                       ///< of one request, from sending to its end
  std::string version;                                        ///< the server's own; empty: it does not say
  std::vector<std::pair<std::string, std::string>> settings;  ///< as far as the server tells them, by name
  std::optional<ManagedStart> managed{};                      ///< absent: the server was there already
  std::string metrics{};  ///< URL of its own metrics, which are sampled beside each repetition; empty: none
  std::string
      telemetry{};  ///< URL of an exporter of its devices' sensors, or GPUs of this machine ("local", "local:ID+ID"); empty: none
  std::optional<ServedFeatures> features{};  ///< absent in runs of programs that did not ask
  std::vector<ServedModel> models{};         ///< of a system that holds several, in the order of the run's bundles
  friend bool operator==(const ServedSystem&, const ServedSystem&) = default;
};
SS_FIELDS(ServedSystem, url, preset, api, http, model, needs_key, timeout_s, version, settings, managed, metrics,
          telemetry, features, models)
SS_ADDED_FIELDS(ServedSystem, managed, metrics, telemetry, features, models)

}  // namespace secondsource
