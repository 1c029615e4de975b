#include "bundle/model_description.h"

#include <utility>

#include "bundle/bundle.h"
#include "bundle/gguf_folder.h"
#include "bundle/published_weights.h"
#include "bundle/quantized_folder.h"
#include "core/file.h"
#include "core/folder.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxConfigFileBytes = std::int64_t{1} << 20;

/// A folder with a config.json: a checkpoint as it was published, or a bundle.
Result<ModelDescription> describe_folder(const fs::path& folder) {
  SS_TRY(ModelDescription model, describe_checkpoint_folder(folder));
  if (!model.published.variant.empty() || !path_exists(folder / kSingleWeightFile)) return model;
  SS_TRY(const TensorStore weights, TensorStore::open(folder));
  model.published = types_of_store(weights);
  return model;
}

}  // namespace

PublishedTypes types_of_source(const PublishedSource& source, const std::vector<TensorSpec>& specs) {
  PublishedTypes types;
  if (source.variant.empty()) return types;
  types.variant = source.variant;
  types.encodings.emplace();
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (const auto form = source.form_of(i)) types.encodings->emplace(specs[i].name, form->encoding);
  }
  return types;
}

PublishedTypes types_of_store(const TensorStore& weights) {
  PublishedTypes types;
  if (weights.published_variant().empty()) return types;
  types.variant = weights.published_variant();
  types.encodings.emplace();
  for (const auto& [name, tensor] : weights.tensors()) {
    if (tensor.published) types.encodings->emplace(name, tensor.published->form.encoding);
  }
  return types;
}

Result<ModelDescription> describe_model(const fs::path& path, Progress& progress, const InterruptFlag& interrupt) {
  if (path.extension() == ".gguf") return describe_gguf_model(path);
  if (path.extension() == ".json") {
    SS_TRY(const std::string text, read_file(path, kMaxConfigFileBytes));
    return describe_checkpoint(text, path.string());
  }
  if (path_exists(path / "config.json")) return describe_folder(path);
  SS_TRY(const Bundle bundle, Bundle::open(path, progress, interrupt));
  return ModelDescription{.config = bundle.config(), .published = types_of_store(bundle.tensors())};
}

}  // namespace secondsource
