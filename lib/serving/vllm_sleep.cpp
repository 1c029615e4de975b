// vLLM's sleep mode: one server for each model, started with --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1. Level 1 keeps the
// weights in memory of the host, level 2 discards them, so that they are read again. Source: docs/features/sleep_mode.md of vLLM.

#include <fmt/format.h>

#include <utility>

#include "serving/model_calls.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

class VllmSleep final : public ModelHost {
 public:
  VllmSleep(std::vector<ServedModel> models, std::vector<ModelCalls> calls)
      : models_(std::move(models)), calls_(std::move(calls)), is_in_host_memory_(models_.size(), false) {}

  Result<void> load(std::int32_t model) override {
    const auto index = static_cast<std::size_t>(model);
    ModelCalls& calls = calls_[index];
    if (is_in_host_memory_[index]) {
      SS_TRY_VOID(post(calls, "/wake_up"));
    } else {
      SS_TRY_VOID(post(calls, "/wake_up?tags=weights"));
      SS_TRY([[maybe_unused]] const Json read, calls.post("/collective_rpc", {{"method", "reload_weights"}}));
      SS_TRY_VOID(post(calls, "/wake_up?tags=kv_cache"));
    }
    is_in_host_memory_[index] = false;
    return calls.wait_until([&] { return is_awake(calls); }, "waking " + models_[index].model);
  }

  Result<void> unload(std::int32_t model, UnloadTo to) override {
    const auto index = static_cast<std::size_t>(model);
    ModelCalls& calls = calls_[index];
    SS_TRY_VOID(post(calls, to == UnloadTo::kHostMemory ? "/sleep?level=1" : "/sleep?level=2"));
    is_in_host_memory_[index] = to == UnloadTo::kHostMemory;
    return calls.wait_until(
        [&]() -> Result<bool> {
          SS_TRY(const bool awake, is_awake(calls));
          return !awake;
        },
        "sleep of " + models_[index].model);
  }

  Result<std::vector<LoadedModel>> loaded() override {
    std::vector<LoadedModel> loaded;
    for (std::size_t index = 0; index < models_.size(); ++index) {
      SS_TRY(const bool awake, is_awake(calls_[index]));
      if (awake) loaded.push_back({.model = static_cast<std::int32_t>(index)});
    }
    return loaded;
  }

  /// The list of models names the folder that was given to the server as `root`.
  Result<std::vector<std::filesystem::path>> files(std::int32_t model) override {
    ModelCalls& calls = calls_[static_cast<std::size_t>(model)];
    SS_TRY(const Json list, calls.get("/v1/models"));
    const Json::json_pointer root("/data/0/root");
    const bool has_root = list.contains(root) && list.at(root).is_string();
    return calls.local_files(has_root ? list.at(root).get<std::string>() : std::string());
  }

  [[nodiscard]] std::string why_no_host_memory() const override { return ""; }

 private:
  static Result<void> post(ModelCalls& calls, const char* path) {
    SS_TRY([[maybe_unused]] const Json done, calls.post(path, nlohmann::ordered_json::object()));
    return {};
  }

  static Result<bool> is_awake(ModelCalls& calls) {
    SS_TRY(const Json tree, calls.get("/is_sleeping"));
    const bool says_so = tree.is_object() && tree.contains("is_sleeping") && tree.at("is_sleeping").is_boolean();
    if (says_so) return !tree.at("is_sleeping").get<bool>();
    return Error{ErrorCode::kUnavailable, "/is_sleeping: expected {\"is_sleeping\": true} or false"};
  }

  std::vector<ServedModel> models_;
  std::vector<ModelCalls> calls_;
  /// By model: true if this object put it to sleep at level 1, with its weights. The server does not tell at which level
  /// a model sleeps, so the weights of one that was asleep before, as after an interrupted run, are read again.
  std::vector<bool> is_in_host_memory_;
};

}  // namespace

Result<std::unique_ptr<ModelHost>> make_vllm_sleep(const ServedSystem& system, std::vector<ModelCalls> calls) {
  return std::unique_ptr<ModelHost>(std::make_unique<VllmSleep>(system.models, std::move(calls)));
}

}  // namespace secondsource
