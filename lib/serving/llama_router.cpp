// llama-server as a router: started without a model, with --models-dir. Each model is a process of its own, and /models says
// how it was started. Source: tools/server/README.md of llama.cpp, "Using multiple models"; build 10434 was run.

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "serving/model_calls.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

constexpr const char* kNothingOfARoutedModelStays =
    "not applicable: the router ends the process of a model, and nothing of it stays";

class LlamaRouter final : public ModelHost {
 public:
  LlamaRouter(std::vector<ServedModel> models, ModelCalls calls)
      : models_(std::move(models)), calls_(std::move(calls)) {}

  Result<void> load(std::int32_t model) override {
    const std::string& name = name_of(model);
    SS_TRY([[maybe_unused]] const Json asked, calls_.post("/models/load", {{"model", name}}));
    return calls_.wait_until(
        [&]() -> Result<bool> {
          SS_TRY(const Json entry, entry_of(name));
          if (status_of(entry) == "loaded") return true;
          if (status_of(entry) == "unloaded" && entry.at("status").value("failed", Json()) == true) {
            return Error{ErrorCode::kUnavailable, fmt::format("{}: the server could not load it: exit code {}", name,
                                                              entry.at("status").value("exit_code", Json()).dump())};
          }
          return false;
        },
        "loading " + name);
  }

  Result<void> unload(std::int32_t model, UnloadTo to) override {
    if (to == UnloadTo::kHostMemory) return Error{ErrorCode::kUnsupported, kNothingOfARoutedModelStays};
    const std::string& name = name_of(model);
    SS_TRY([[maybe_unused]] const Json asked, calls_.post("/models/unload", {{"model", name}}));
    return calls_.wait_until(
        [&]() -> Result<bool> {
          SS_TRY(const Json entry, entry_of(name));
          return status_of(entry) == "unloaded";
        },
        "unloading " + name);
  }

  Result<std::vector<LoadedModel>> loaded() override {
    SS_TRY(const Json list, calls_.get("/models"));
    std::vector<LoadedModel> loaded;
    for (std::size_t model = 0; model < models_.size(); ++model) {
      SS_TRY(const Json entry, entry_in(list, models_[model].model));
      // A sleeping model accepts requests too and wakes up for them.
      if (status_of(entry) == "loaded" || status_of(entry) == "sleeping") {
        loaded.push_back({.model = static_cast<std::int32_t>(model), .bytes = {}, .command = command_of(entry)});
      }
    }
    return loaded;
  }

  Result<std::vector<std::filesystem::path>> files(std::int32_t model) override {
    SS_TRY(const Json entry, entry_of(name_of(model)));
    const Json words = entry.at("status").value("args", Json::array());
    for (std::size_t index = 0; words.is_array() && index + 1 < words.size(); ++index) {
      const bool is_flag = words[index] == "--model" || words[index] == "-m";
      if (is_flag && words[index + 1].is_string()) return calls_.local_files(words[index + 1].get<std::string>());
    }
    return calls_.local_files({});
  }

  [[nodiscard]] std::string why_no_host_memory() const override { return kNothingOfARoutedModelStays; }

 private:
  [[nodiscard]] const std::string& name_of(std::int32_t model) const {
    return models_[static_cast<std::size_t>(model)].model;
  }

  Result<Json> entry_of(const std::string& name) {
    SS_TRY(const Json list, calls_.get("/models"));
    return entry_in(list, name);
  }

  static Result<Json> entry_in(const Json& list, const std::string& name) {
    if (list.is_object() && list.contains("data") && list.at("data").is_array()) {
      for (const Json& entry : list.at("data")) {
        const bool is_it = entry.is_object() && entry.value("id", Json()) == name;
        if (is_it && entry.contains("status") && entry.at("status").is_object()) return entry;
      }
    }
    return Error{ErrorCode::kUnavailable,
                 fmt::format("/models: expected {} with a status, as a router lists it, found none: was llama-server "
                             "started without a model?",
                             name)};
  }

  /// The command of the model's process, if it runs on this machine.
  [[nodiscard]] std::vector<std::string> command_of(const Json& entry) const {
    std::vector<std::string> command;
    const Json words = entry.at("status").value("args", Json::array());
    if (!calls_.is_on_this_machine() || !words.is_array()) return command;
    for (const Json& word : words) {
      if (!word.is_string()) return {};
      command.push_back(word.get<std::string>());
    }
    return command;
  }

  static std::string status_of(const Json& entry) {
    const Json value = entry.at("status").value("value", Json());
    return value.is_string() ? value.get<std::string>() : std::string();
  }

  std::vector<ServedModel> models_;
  ModelCalls calls_;
};

}  // namespace

Result<std::unique_ptr<ModelHost>> make_llama_router(const ServedSystem& system, ModelCalls calls) {
  return std::unique_ptr<ModelHost>(std::make_unique<LlamaRouter>(system.models, std::move(calls)));
}

}  // namespace secondsource
