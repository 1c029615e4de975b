#pragma once
// A model with its golden prompts and expected outputs, opened: the one interface over a folder, a zip of it, and a
// plain Hugging Face folder. See docs/bundle-format.md.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/model_config.h"
#include "bundle/model_tensors.h"
#include "bundle/tensor_store.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

class Bundle {
 public:
  /// A folder as Hugging Face writes it (config.json, safetensors, perhaps tokenizer.json), without a manifest: enough
  /// to generate and evaluate; it has no prompts and no variant with expected outputs. Every tensor that the
  /// configuration calls for must be there in its shape. Errors: kInvalidInput, kUnsupported, kIo.
  static Result<Bundle> open_model_folder(const std::filesystem::path& folder);

  /// "default", or the folder's name where there is no manifest.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// The folder with the files; of a zip, its extracted copy in the cache.
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  [[nodiscard]] const ModelConfig& config() const noexcept { return config_; }
  [[nodiscard]] const TensorStore& tensors() const noexcept { return tensors_; }

  /// The tensor of that name. Errors: kInvalidInput when there is none.
  Result<StoredTensor> tensor(std::string_view name) const;

  /// tokenizer.json's text; nullopt when the bundle has none. Errors: kIo.
  Result<std::optional<std::string>> tokenizer_json() const { return read_optional("tokenizer.json"); }
  Result<std::optional<std::string>> tokenizer_config_json() const { return read_optional("tokenizer_config.json"); }

 private:
  Result<std::optional<std::string>> read_optional(std::string_view file) const;
  Result<void> load_model();

  std::string name_;
  std::filesystem::path folder_;
  ModelConfig config_;
  TensorStore tensors_;
};

/// Checks that every tensor of the configuration is stored, in its shape and in F32, F16 or BF16.
Result<void> check_tensors(const ModelConfig& config, const TensorStore& tensors, std::string_view name);

}  // namespace secondsource
