// Ollama: a request without a prompt loads a model, and one with keep_alive 0 unloads it; /api/ps lists what is loaded.
// Source: docs/api.md of Ollama ("Load a model", "Unload a model", "List Running Models", "Show Model Information").

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "core/utf8.h"
#include "serving/model_calls.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

constexpr const char* kNothingOfAnOllamaModelStays =
    "not applicable: Ollama ends the process of a model, and nothing of it stays";
constexpr std::int64_t kForever = -1;  ///< for keep_alive: until another request changes it

/// Ollama calls a model without a tag NAME:latest.
std::string with_tag(const std::string& name) {
  return name.find(':') == std::string::npos ? name + ":latest" : name;
}

class OllamaModels final : public ModelHost {
 public:
  OllamaModels(std::vector<ServedModel> models, ModelCalls calls)
      : models_(std::move(models)), calls_(std::move(calls)) {}

  Result<void> load(std::int32_t model) override {
    const auto not_loaded = [&](ErrorCode code, const std::string& why) {
      return Error{code, fmt::format("{}: the server did not load it: {}", name_of(model), why)};
    };
    const Result<Json> answer = ask(model, kForever);
    if (!answer) return not_loaded(answer.error().code, answer.error().message);
    if (!answer->is_object() || answer->value("done", Json()) != false) return {};
    const Json reason = answer->value("done_reason", Json());
    return not_loaded(ErrorCode::kUnavailable,
                      "/api/generate answered \"done\": false" +
                          (reason.is_string() ? ", for the reason " + in_quotes(reason.get<std::string>()) : ""));
  }

  Result<void> unload(std::int32_t model, UnloadTo to) override {
    if (to == UnloadTo::kHostMemory) return Error{ErrorCode::kUnsupported, kNothingOfAnOllamaModelStays};
    SS_TRY([[maybe_unused]] const Json done, ask(model, 0));
    return calls_.wait_until(
        [&]() -> Result<bool> {
          SS_TRY(const std::vector<LoadedModel> left, loaded());
          for (const LoadedModel& one : left) {
            if (one.model == model) return false;
          }
          return true;
        },
        "unloading " + name_of(model));
  }

  Result<std::vector<LoadedModel>> loaded() override {
    SS_TRY(const Json list, calls_.get("/api/ps"));
    if (!list.is_object() || !list.contains("models") || !list.at("models").is_array()) {
      return Error{ErrorCode::kUnavailable, "/api/ps: expected a list named models"};
    }
    std::vector<LoadedModel> loaded;
    for (const Json& entry : list.at("models")) {
      if (!entry.is_object()) continue;
      for (std::size_t model = 0; model < models_.size(); ++model) {
        if (entry.value("name", Json()) != with_tag(models_[model].model)) continue;
        LoadedModel one{.model = static_cast<std::int32_t>(model)};
        const Json size = entry.value("size", Json());
        if (size.is_number_integer() && size > 0) one.bytes = size.get<std::int64_t>();
        loaded.push_back(one);
      }
    }
    return loaded;
  }

  /// The Modelfile names the file of the weights: "FROM /root/.ollama/models/blobs/sha256-...".
  Result<std::vector<std::filesystem::path>> files(std::int32_t model) override {
    SS_TRY(const Json shown, calls_.post("/api/show", {{"model", name_of(model)}}));
    const Json text = shown.is_object() ? shown.value("modelfile", Json()) : Json();
    std::string_view rest = text.is_string() ? std::string_view(text.get_ref<const std::string&>()) : "";
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      constexpr std::string_view kFrom = "FROM /";
      if (line.starts_with(kFrom)) return calls_.local_files(line.substr(kFrom.size() - 1));
    }
    return calls_.local_files({});
  }

  [[nodiscard]] std::string why_no_host_memory() const override { return kNothingOfAnOllamaModelStays; }

 private:
  [[nodiscard]] const std::string& name_of(std::int32_t model) const {
    return models_[static_cast<std::size_t>(model)].model;
  }

  Result<Json> ask(std::int32_t model, std::int64_t keep_alive) {
    return calls_.post("/api/generate", {{"model", name_of(model)}, {"keep_alive", keep_alive}, {"stream", false}});
  }

  std::vector<ServedModel> models_;
  ModelCalls calls_;
};

}  // namespace

Result<std::unique_ptr<ModelHost>> make_ollama_models(const ServedSystem& system, ModelCalls calls) {
  return std::unique_ptr<ModelHost>(std::make_unique<OllamaModels>(system.models, std::move(calls)));
}

}  // namespace secondsource
