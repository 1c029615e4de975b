#include "serving/server_probe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/utf8.h"
#include "serving/http_client.h"
#include "serving/preset.h"
#include "serving/prometheus_text.h"
#include "serving/server_url.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kProbeTimeoutNs = 10'000'000'000;
// The texts in which a server describes itself are stored and shown, so their length is limited.
constexpr std::size_t kLongestSetting = 200;
constexpr std::size_t kMostModelsShown = 5;

class Probe {
 public:
  Probe(const SystemRequest& request, HttpClient client)
      : request_(request), facts_(facts_of(request.preset)), client_(std::move(client)) {}

  Result<ProbedSystem> run() {
    ProbedSystem probed = described(request_);
    ServedSystem& record = probed.record;
    probed.unavailable = record.models.empty() ? choose_model(record.model) : choose_models(record);
    if (!probed.unavailable.empty()) return probed;
    SS_TRY(const ServerUrl url, parse_server_url(request_.url, facts_.base_path));
    record.version = value_at(url.root, facts_.version).value_or("");
    for (const NamedPlace& setting : facts_.settings) {
      if (auto value = value_at(url.root, setting.place)) {
        record.settings.emplace_back(setting.name, *std::move(value));
      }
    }
    const auto features = settled_features(
        request_.preset, told_features(url.root, record.metrics),
        request_.managed ? server_command(*request_.managed, request_.preset) : ServerCommand(), request_.features);
    if (features) {
      record.features = *features;
    } else {
      probed.unavailable = features.error().message;
    }
    return probed;
  }

 private:
  /// Returns why no model can be chosen; empty on success.
  std::string choose_model(std::string& model) {
    const Result<HttpReply> reply = client_.fetch({.url = request_.url + "/models", .timeout_ns = kProbeTimeoutNs});
    if (!reply) return reply.error().message;
    const bool has_list = reply->end.status == 200;
    // A server without a list of models may still serve the named one; one that refuses the key does not.
    if (!has_list && (model.empty() || reply->end.status == 401 || reply->end.status == 403)) {
      return fmt::format("{}/models: {}", request_.url,
                         refusal_of(reply->end, reply->body, "application/json", client_.key()));
    }
    if (!model.empty()) return "";
    const std::vector<std::string> names = models_in(reply->body);
    if (names.size() == 1) {
      model = client_.key().cut_from(names.front());
      return "";
    }
    std::vector<std::string> some;
    for (std::size_t i = 0; i < std::min(names.size(), kMostModelsShown); ++i) some.push_back(shown(names[i]));
    return fmt::format("{}/models: expected one model, or model=NAME to choose one; found {}{}", request_.url,
                       names.empty() ? "none" : fmt::format("{}: {}", names.size(), fmt::join(some, ", ")),
                       names.size() > some.size() ? ", ..." : "");
  }

  /// Finds each of several models. Returns why one is not there; empty on success.
  std::string choose_models(ServedSystem& record) {
    std::vector<std::string> names;
    for (ServedModel& model : record.models) {
      const std::string url = (model.url.empty() ? record.url : model.url) + "/models";
      const Result<HttpReply> reply = client_.fetch({.url = url, .timeout_ns = kProbeTimeoutNs});
      if (!reply) return reply.error().message;
      if (reply->end.status != 200) {
        return fmt::format("{}: {}", url, refusal_of(reply->end, reply->body, "application/json", client_.key()));
      }
      const std::vector<std::string> listed = models_in(reply->body);
      if (!model.url.empty() && listed.size() == 1) model.model = client_.key().cut_from(listed.front());
      const auto is_it = [&model](const std::string& name) {
        return !model.model.empty() && (name == model.model || name == model.model + ":latest");
      };
      if (std::ranges::none_of(listed, is_it)) {
        std::vector<std::string> some;
        for (std::size_t i = 0; i < std::min(listed.size(), kMostModelsShown); ++i) some.push_back(shown(listed[i]));
        return fmt::format("{}: expected {} for bundle {}, found {}{}", url,
                           model.model.empty() ? "one model" : shown(model.model), model.bundle,
                           some.empty() ? "none" : fmt::format("{}", fmt::join(some, ", ")),
                           listed.size() > some.size() ? ", ..." : "");
      }
      names.push_back(model.model);
    }
    record.model = fmt::format("{}", fmt::join(names, ", "));
    return "";
  }

  static std::vector<std::string> models_in(const std::string& body) {
    std::vector<std::string> names;
    const Result<Json> tree = parse_json(body, "models");
    if (!tree || !tree->is_object() || !tree->contains("data") || !tree->at("data").is_array()) return names;
    for (const Json& model : tree->at("data")) {
      const bool has_id = model.is_object() && model.contains("id") && model.at("id").is_string();
      if (has_id) names.push_back(model.at("id").get<std::string>());
    }
    return names;
  }

  ToldFeatures told_features(const std::string& root, const std::string& metrics) {
    const FeaturePlaces& places = facts_.features;
    ToldFeatures told;
    if (const auto how = value_at(root, places.speculative, "off")) told.speculative = in_one_spelling(*how);
    if (const auto is_off = value_at(root, places.prefix_cache_disabled)) {
      told.prefix_cache = in_one_spelling(*is_off) == "on" ? "off" : "on";
    }
    told.kv_cache = value_at(root, places.kv_cache);
    if (places.cache_metric.empty() || metrics.empty()) return told;
    for (const MetricSample& sample : samples_of(metrics, places.cache_metric)) {
      const auto label = [&](std::string_view name) { return std::string(sample.label(name)); };
      if (const std::string value = label(places.prefix_cache_label); !value.empty()) {
        told.prefix_cache = in_one_spelling(value);
      }
      if (const std::string value = label(places.kv_cache_label); !value.empty()) {
        told.kv_cache = shown(client_.key().cut_from(value), kLongestSetting);
      }
    }
    return told;
  }

  /// The series of one metric; none if the server does not publish it, which its sampling reports.
  std::vector<MetricSample> samples_of(const std::string& url, std::string_view metric) {
    // The key is sent to the server's own host only.
    if (origin_of(url) != origin_of(request_.url)) return {};
    const Result<HttpReply> reply = client_.fetch(
        {.url = url, .accept = kMetricsAccept, .timeout_ns = kProbeTimeoutNs, .max_body_bytes = kMostMetricsBytes});
    if (!reply || reply->end.status != 200) return {};
    auto samples = parse_prometheus_text(reply->body, [&](std::string_view name) { return name == metric; });
    return samples ? *std::move(samples) : std::vector<MetricSample>();
  }

  /// The text of a scalar; nullopt if the server does not report it. `null_means`: what null stands for; empty:
  /// nothing.
  std::optional<std::string> value_at(const std::string& root, const JsonPlace& place,
                                      std::string_view null_means = "") {
    if (place.path.empty()) return std::nullopt;
    const Json::json_pointer pointer{std::string(place.pointer)};
    const Json* tree = &document(root + std::string(place.path));
    if (!place.older_path.empty() && tree->is_null()) tree = &document(root + std::string(place.older_path));
    if (!tree->contains(pointer)) return std::nullopt;
    const Json& value = tree->at(pointer);
    if (value.is_null() && !null_means.empty()) return std::string(null_means);
    if (value.is_null() || value.is_structured()) return std::nullopt;
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    return shown(client_.key().cut_from(text), kLongestSetting);
  }

  /// A JSON document of the server; null if there is none.
  const Json& document(const std::string& url) {
    const auto known = documents_.find(url);
    if (known != documents_.end()) return known->second;
    Json& tree = documents_[url];
    const Result<HttpReply> reply = client_.fetch({.url = url, .timeout_ns = kProbeTimeoutNs});
    if (!reply || reply->end.status != 200) return tree;
    JsonLimits limits;
    limits.allow_duplicate_keys = true;
    if (Result<Json> parsed = parse_json(reply->body, url, limits)) tree = std::move(parsed).value();
    return tree;
  }

  const SystemRequest& request_;
  const PresetFacts& facts_;
  HttpClient client_;
  std::map<std::string, Json> documents_;
};

}  // namespace

ProbedSystem described(const SystemRequest& request) {
  ProbedSystem probed{.request = request, .record = {}};
  ServedSystem& record = probed.record;
  record.url = request.url;
  record.preset = request.preset;
  record.api = request.api;
  record.http = request.http;
  record.model = request.model;
  record.needs_key = !request.key.is_empty();
  record.timeout_s = request.timeout_s;
  record.managed = request.managed;
  record.metrics = metrics_url(request);
  record.telemetry = request.telemetry;
  record.models = request.models;
  return probed;
}

Result<ProbedSystem> probe_server(const SystemRequest& request) {
  auto key = ApiKey::read(request.key);
  if (!key) return key.error().with_context("system " + request.name);
  SS_TRY(HttpClient client, HttpClient::create({.key = *std::move(key), .version = request.http}));
  return Probe(request, std::move(client)).run();
}

}  // namespace secondsource
