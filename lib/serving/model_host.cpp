#include "serving/model_host.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "core/clock.h"
#include "core/folder.h"
#include "core/json.h"
#include "core/json_text.h"
#include "core/utf8.h"
#include "serving/model_calls.h"
#include "serving/preset.h"
#include "serving/server_url.h"

namespace secondsource {
namespace {

constexpr std::int64_t kShortestAskNs = 1'000'000;
constexpr std::int64_t kLongestAskNs = 100'000'000;
constexpr std::int64_t kAskShare = 50;  ///< of the time so far: 2 %

}  // namespace

ModelCalls::ModelCalls(const ServedSystem& system, std::string url, HttpClient client, OnWait on_wait)
    : root_(url.substr(0, url.rfind('/'))),
      timeout_ns_(static_cast<std::int64_t>(1e9 * system.timeout_s)),
      client_(std::move(client)),
      on_wait_(std::move(on_wait)) {}

Result<nlohmann::json> ModelCalls::get(const std::string& path) {
  return call({.url = root_ + path, .timeout_ns = timeout_ns_});
}

Result<nlohmann::json> ModelCalls::post(const std::string& path, const nlohmann::ordered_json& body) {
  return call({.url = root_ + path, .body = to_json_text(body, -1), .timeout_ns = timeout_ns_});
}

Result<nlohmann::json> ModelCalls::call(HttpCall call) {
  const std::string url = call.url;
  SS_TRY(const HttpReply reply, client_.fetch(std::move(call), on_wait_));
  if (reply.end.status != 200) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("{}: {}", url, refusal_of(reply.end, reply.body, "application/json", client_.key()))};
  }
  if (reply.body.empty()) return nlohmann::json();
  JsonLimits limits;
  limits.allow_duplicate_keys = true;
  auto tree = parse_json(reply.body, url, limits);
  if (!tree) return Error{ErrorCode::kUnavailable, client_.key().cut_from(tree.error().message)};
  if (tree->is_object() && !tree->value("error", nlohmann::json()).is_null()) {
    return Error{ErrorCode::kUnavailable, client_.key().cut_from(fmt::format("{}: the server reports an error: {}", url,
                                                                             shown(message_in(reply.body))))};
  }
  return tree;
}

Result<void> ModelCalls::wait_until(const std::function<Result<bool>()>& is_done, const std::string& what) {
  const std::int64_t began_ns = now_ns();
  while (true) {
    SS_TRY(const bool done, is_done());
    if (done) return {};
    const std::int64_t spent_ns = now_ns() - began_ns;
    if (spent_ns > timeout_ns_) {
      return Error{ErrorCode::kDeadline,
                   fmt::format("{}: {}: not done after {:g} s", root_, what, 1e-9 * static_cast<double>(spent_ns))};
    }
    if (on_wait_) on_wait_();
    std::this_thread::sleep_for(
        std::chrono::nanoseconds(std::clamp(spent_ns / kAskShare, kShortestAskNs, kLongestAskNs)));
  }
}

bool ModelCalls::is_on_this_machine() const {
  return is_this_machine(root_);
}

Result<std::vector<std::filesystem::path>> ModelCalls::local_files(const std::filesystem::path& path) const {
  if (!is_on_this_machine()) {
    return Error{ErrorCode::kUnavailable, "the page cache of another machine cannot be seen"};
  }
  std::error_code failed;
  if (std::filesystem::is_directory(path, failed)) return list_files_below(path);
  if (path.is_absolute() && std::filesystem::is_regular_file(path, failed)) return std::vector{path};
  return Error{ErrorCode::kUnavailable, "the server names no file of the model that is on this machine"};
}

Result<std::unique_ptr<ModelHost>> make_model_host(const ServedSystem& system, const KeySource& key, OnWait on_wait) {
  const auto calls_to = [&](const std::string& url) -> Result<ModelCalls> {
    SS_TRY(ApiKey secret, ApiKey::read(key));
    SS_TRY(HttpClient client, HttpClient::create({.key = std::move(secret), .version = system.http}));
    return ModelCalls(system, url, std::move(client), on_wait);
  };
  switch (facts_of(system.preset).model_control) {
    case ModelControl::kNone:
      break;
    case ModelControl::kLlamaRouter: {
      SS_TRY(ModelCalls calls, calls_to(system.url));
      return make_llama_router(system, std::move(calls));
    }
    case ModelControl::kOllama: {
      SS_TRY(ModelCalls calls, calls_to(system.url));
      return make_ollama_models(system, std::move(calls));
    }
    case ModelControl::kVllmSleep: {
      std::vector<ModelCalls> calls;
      for (const ServedModel& model : system.models) {
        SS_TRY(ModelCalls one, calls_to(model.url.empty() ? system.url : model.url));
        calls.push_back(std::move(one));
      }
      return make_vllm_sleep(system, std::move(calls));
    }
  }
  return Error{ErrorCode::kUnsupported, fmt::format("{}: this kind of server is not known to load and unload models",
                                                    facts_of(system.preset).title)};
}

}  // namespace secondsource
