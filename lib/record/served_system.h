#pragma once
// What run.json says of a system that answers behind a URL: what was asked for, and what could be read of it. It has
// no key: where a key is found is said anew for every sitting (docs/systems.md).

#include <cstdint>
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
  friend bool operator==(const ServedSystem&, const ServedSystem&) = default;
};
SS_FIELDS(ServedSystem, url, preset, api, http, model, needs_key, timeout_s, version, settings)

}  // namespace secondsource
