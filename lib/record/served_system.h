#pragma once
// What run.json says of a system that answers behind a URL: what was asked for, and what could be read of it. It has
// no key: where a key is found is said anew for every sitting (docs/systems.md).

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

/// How this program starts and stops a server, as a process of its own or in a container. {model} and {port} in a word
/// stand for the folder with the model's files, as the server sees it, and for the port that it is to listen on.
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
  friend bool operator==(const ServedSystem&, const ServedSystem&) = default;
};
SS_FIELDS(ServedSystem, url, preset, api, http, model, needs_key, timeout_s, version, settings, managed)
SS_ADDED_FIELDS(ServedSystem, managed)

}  // namespace secondsource
