#include "serving/endpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>

#include "core/nearest_word.h"
#include "core/number.h"
#include "core/utf8.h"
#include "serving/http_client.h"
#include "serving/preset.h"
#include "serving/server_url.h"
#include "serving/telemetry_place.h"

namespace secondsource {
namespace {

constexpr double kLongestTimeoutS = 86'400;
constexpr std::int32_t kMostDevices = 100'000;

template <NamedEnum E>
Result<E> enum_of(std::string_view what, std::string_view text) {
  if (const auto value = enum_from_name<E>(text)) return *value;
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected one of {}, found {}", what, fmt::join(names_of(E{}), ", "), in_quotes(text))};
}

/// A name becomes part of a cell's id and of file names.
bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() != '.' && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

template <auto kMember>
Result<void> set_text(SystemRequest& request, const std::string&, const std::string& value) {
  request.*kMember = value;
  return {};
}

template <auto kMember>
Result<void> set_enum(SystemRequest& request, const std::string& what, const std::string& value) {
  SS_TRY(request.*kMember, enum_of<std::remove_reference_t<decltype(request.*kMember)>>(what, value));
  return {};
}

/// A setting of PlannedFeatures, under its key in the plan.
Result<void> set_feature(const SystemRequest& request, std::string_view key, const std::string& value,
                         std::string& feature) {
  auto planned = planned_feature(key, value);
  if (!planned) return planned.error().with_context("system " + request.name);
  feature = *std::move(planned);
  return {};
}

Result<void> set_models(SystemRequest& request, const std::string& what, const std::string& value) {
  for (std::string_view rest = value; !rest.empty();) {
    const std::string_view one = rest.substr(0, rest.find('+'));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    const std::size_t colon = one.find(':');
    if (colon == std::string_view::npos) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: expected BUNDLE:MODEL+BUNDLE:MODEL, found {}", what, in_quotes(value))};
    }
    SS_TRY_VOID(add_served_model(request, one.substr(0, colon), one.substr(colon + 1)));
  }
  return {};
}

Result<void> set_timeout(SystemRequest& request, const std::string& what, const std::string& value) {
  const auto seconds = parse_number<double>(value);
  if (!seconds || !(*seconds > 0) || *seconds > kLongestTimeoutS) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected seconds up to {:g}, found {}", what, kLongestTimeoutS, in_quotes(value))};
  }
  request.timeout_s = *seconds;
  return {};
}

Result<void> set_devices(SystemRequest& request, const std::string& what, const std::string& value) {
  const auto number = parse_number<std::int32_t>(value);
  if (!number || *number < 1 || *number > kMostDevices) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a number from 1 to {}, found {}", what, kMostDevices, in_quotes(value))};
  }
  request.n_devices = *number;
  return {};
}

Result<void> set_metrics(SystemRequest& request, const std::string& what, const std::string& value) {
  if (value != kNoMetrics && !value.starts_with('/')) {
    const Result<ServerUrl> url = parse_server_url(value, kMetricsPath);
    if (!url) return url.error().with_context(what + ": expected a URL, a path such as /metrics, or none");
  }
  request.metrics = value;
  return {};
}

Result<void> set_telemetry(SystemRequest& request, const std::string& what, const std::string& value) {
  auto place = parse_telemetry_place(value);
  if (!place) return place.error().with_context(what);
  request.telemetry = *std::move(place);
  return {};
}

/// A key that may follow a system's URL. `what` begins the messages of set().
struct Setting {
  std::string_view key;
  Result<void> (*set)(SystemRequest& request, const std::string& what, const std::string& value);
};

constexpr auto kSettings = std::to_array<Setting>({
    {"preset", set_enum<&SystemRequest::preset>},
    {"api", set_enum<&SystemRequest::api>},
    {"http", set_enum<&SystemRequest::http>},
    {"model", set_text<&SystemRequest::model>},
    {"models", set_models},
    {"variant", set_text<&SystemRequest::variant>},
    {"bundle", set_text<&SystemRequest::bundle>},
    {"timeout", set_timeout},
    {"devices", set_devices},
    {"key_env",
     [](SystemRequest& request, const std::string&, const std::string& value) -> Result<void> {
       request.key.environment = value;
       return {};
     }},
    {"key_file",
     [](SystemRequest& request, const std::string&, const std::string& value) -> Result<void> {
       request.key.file = value;
       return {};
     }},
    {"metrics", set_metrics},
    {"telemetry", set_telemetry},
    {"speculative",
     [](SystemRequest& request, const std::string&, const std::string& value) {
       return set_feature(request, "speculative", value, request.features.speculative);
     }},
    {"prefix_cache",
     [](SystemRequest& request, const std::string&, const std::string& value) {
       return set_feature(request, "prefix_cache", value, request.features.prefix_cache);
     }},
    {"kv_cache",
     [](SystemRequest& request, const std::string&, const std::string& value) {
       return set_feature(request, "kv_cache", value, request.features.kv_cache);
     }},
});

Result<void> assign(SystemRequest& request, const std::string& key, const std::string& value) {
  const std::string what = fmt::format("system {}: {}", request.name, shown(key));
  if (value.empty()) return Error{ErrorCode::kInvalidInput, what + ": expected a value, found none"};
  const auto* const setting = std::ranges::find(kSettings, key, &Setting::key);
  if (setting != kSettings.end()) return setting->set(request, what, value);
  std::vector<std::string> known;
  for (const Setting& one : kSettings) known.emplace_back(one.key);
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected one of the settings {}; found this one{}", what,
                                                     fmt::join(known, ", "), did_you_mean(key, known))};
}

Result<SystemRequest> with_adapter(SystemRequest request, std::string_view adapter,
                                   const std::vector<std::pair<std::string, std::string>>& parts) {
  std::string python;
  std::vector<std::pair<std::string, std::string>> options;
  for (const auto& [key, value] : parts) {
    if (key == "variant" || key == "bundle" || key == "devices" || key == "telemetry") {
      SS_TRY_VOID(assign(request, key, value));
    } else if (key == "python") {
      python = value;
    } else {
      options.emplace_back(key, value);
    }
  }
  auto made = adapter_request_of(adapter, python, {}, std::move(options));
  if (!made) return made.error().with_context("system " + request.name);
  SS_TRY_VOID(add_adapter(request, *std::move(made)));
  return request;
}

}  // namespace

std::string metrics_url(const SystemRequest& request) {
  if (request.metrics == kNoMetrics || request.url.empty()) return "";
  if (request.metrics.starts_with('/')) return std::string(origin_of(request.url)) + request.metrics;
  if (!request.metrics.empty()) return parse_server_url(request.metrics, kMetricsPath).value().base;
  const PresetFacts& facts = facts_of(request.preset);
  if (facts.metrics.empty()) return "";
  const Result<ServerUrl> url = parse_server_url(request.url, facts.base_path);
  return url ? url->root + std::string(facts.metrics) : "";
}

Result<void> check_http(const SystemRequest& request, std::string_view url) {
  if (request.http != HttpVersion::kHttp2 || url.starts_with("https:")) return {};
  const Result<void> checked = check_http2_without_tls();
  if (!checked) return checked.error().with_context(fmt::format("system {}: http", request.name));
  return {};
}

Result<void> add_adapter(SystemRequest& request, AdapterSystem adapter) {
  if (!request.telemetry.empty() && !local_gpu_ids(request.telemetry)) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("system {}: telemetry: an adapter runs on this machine: expected local or local:ID+ID, found {}",
                    request.name, in_quotes(request.telemetry))};
  }
  adapter.telemetry = request.telemetry;
  request.adapter = std::move(adapter);
  return {};
}

Result<void> add_served_model(SystemRequest& request, std::string_view bundle, std::string_view name_or_url) {
  const std::string what = fmt::format("system {}: models: {}", request.name, shown(bundle));
  if (bundle.empty() || name_or_url.empty()) {
    return Error{ErrorCode::kInvalidInput, what + ": expected the name of a bundle and that of its model"};
  }
  if (std::ranges::find(request.models, bundle, &ServedModel::bundle) != request.models.end()) {
    return Error{ErrorCode::kInvalidInput, what + ": given twice"};
  }
  ServedModel model{.bundle = std::string(bundle), .model = {}, .url = {}};
  const ModelControl control = facts_of(request.preset).model_control;
  if (control == ModelControl::kNone) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("{}: expected a preset that is known to load and unload models (llama-server, ollama, vllm), "
                    "found {}",
                    what, to_string(request.preset))};
  }
  if (control == ModelControl::kVllmSleep) {
    const Result<ServerUrl> url = parse_server_url(name_or_url, facts_of(request.preset).base_path);
    if (!url) return url.error().with_context(what + ": vLLM holds one model: expected the URL of this model's server");
    model.url = url->base;
    SS_TRY_VOID(check_http(request, model.url));
  } else {
    model.model = name_or_url;
  }
  request.models.push_back(std::move(model));
  return {};
}

Result<AdapterSystem> adapter_request_of(std::string_view adapter, std::string_view python,
                                         std::vector<std::string> start,
                                         std::vector<std::pair<std::string, std::string>> options) {
  if (!is_name(adapter)) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("adapter: expected a name of letters, digits, '-', '_' and '.', found {}", in_quotes(adapter))};
  }
  AdapterSystem system;
  system.adapter = adapter;
  system.start = std::move(start);
  if (system.start.empty()) {
    system.start = {python.empty() ? "python3" : std::string(python), "-B", std::string(kAdaptersPlace) + "/serve.py",
                    std::string(adapter)};
  } else if (!python.empty()) {
    return Error{ErrorCode::kInvalidInput, "python: expected none beside start, which names its program itself"};
  }
  // Ordered, so that the same options are the same record.
  std::ranges::sort(options);
  for (std::size_t index = 1; index < options.size(); ++index) {
    if (options[index].first != options[index - 1].first) continue;
    return Error{ErrorCode::kInvalidInput, fmt::format("option {}: given twice", shown(options[index].first))};
  }
  system.options = std::move(options);
  system.start_deadline_s = kDefaultAdapterDeadlineS;
  return system;
}

Result<SystemRequest> system_request_of(std::string_view name, std::string_view url,
                                        const std::vector<std::pair<std::string, std::string>>& parts) {
  SystemRequest request;
  if (!is_name(name)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("system {}: expected a name of letters, digits, '-', '_' and '.'", in_quotes(name))};
  }
  request.name = name;
  if (url.starts_with(kAdapterUrl)) return with_adapter(std::move(request), url.substr(kAdapterUrl.size()), parts);
  for (const auto& [key, value] : parts) {
    if (key != "models") SS_TRY_VOID(assign(request, key, value));
  }
  // What a model is called depends on the kind of server.
  for (const auto& [key, value] : parts) {
    if (key == "models") SS_TRY_VOID(assign(request, key, value));
  }
  if (!request.key.environment.empty() && !request.key.file.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("system {}: expected key_env or key_file, found both", request.name)};
  }
  if (!request.models.empty() && (!request.bundle.empty() || !request.model.empty())) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("system {}: expected either models, or bundle and model, found both", request.name)};
  }
  if (url.empty()) return request;
  const Result<ServerUrl> address = parse_server_url(url, facts_of(request.preset).base_path);
  if (!address) return address.error().with_context("system " + request.name);
  request.url = address->base;
  SS_TRY_VOID(check_http(request, request.url));
  return request;
}

Result<SystemRequest> parse_system_flag(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> parts;
  std::string_view rest = text;
  std::string_view head;
  for (bool is_first = true; is_first || !rest.empty(); is_first = false) {
    const std::size_t comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals + 1 == part.size()) {
      // The text may have a key in it, so only its name is shown.
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("--system {}: expected NAME=URL[,preset=...,key=value], for example "
                               "vllm=http://127.0.0.1:8000,preset=vllm, or NAME=adapter:RUNTIME[,option=value]",
                               in_quotes(text.substr(0, text.find_first_of("=,"))))};
    }
    if (is_first) {
      head = part;
    } else {
      parts.emplace_back(part.substr(0, equals), part.substr(equals + 1));
    }
  }
  const std::size_t equals = head.find('=');
  return system_request_of(head.substr(0, equals), head.substr(equals + 1), parts);
}

}  // namespace secondsource
