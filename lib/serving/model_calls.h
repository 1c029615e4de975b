#pragma once
// The requests by which a server is told to load and unload models, for the implementations of model_host.h.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "serving/model_host.h"

namespace secondsource {

/// The server behind a URL in the form of ServedSystem::url; paths are relative to its root.
class ModelCalls {
 public:
  ModelCalls(const ServedSystem& system, std::string url, HttpClient client, OnWait on_wait);

  /// Errors: kUnavailable for anything but status 200 with an empty body or JSON, and for JSON that has an `error`.
  Result<nlohmann::json> get(const std::string& path);
  Result<nlohmann::json> post(const std::string& path, const nlohmann::ordered_json& body);
  /// Calls `is_done` until it returns true, at intervals of 2 % of the time so far, between 1 and 100 ms. Errors: those
  /// of `is_done`; kDeadline after the system's timeout, with `what` in its message.
  Result<void> wait_until(const std::function<Result<bool>()>& is_done, const std::string& what);
  [[nodiscard]] bool is_on_this_machine() const;
  /// The paths of files on the server's machine, if that is this machine and they can be read. Errors: kUnavailable.
  [[nodiscard]] Result<std::vector<std::filesystem::path>> local_files(const std::filesystem::path& path) const;

 private:
  Result<nlohmann::json> call(HttpCall call);

  std::string root_;
  std::int64_t timeout_ns_;
  HttpClient client_;
  OnWait on_wait_;
};

Result<std::unique_ptr<ModelHost>> make_llama_router(const ServedSystem& system, ModelCalls calls);
Result<std::unique_ptr<ModelHost>> make_ollama_models(const ServedSystem& system, ModelCalls calls);
/// `calls` has one entry for each model.
Result<std::unique_ptr<ModelHost>> make_vllm_sleep(const ServedSystem& system, std::vector<ModelCalls> calls);

}  // namespace secondsource
