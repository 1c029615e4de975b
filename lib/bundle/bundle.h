#pragma once
// A model with its golden prompts and expected outputs, opened: the one interface over a folder, a zip of it, and a
// plain Hugging Face folder. See docs/bundle-format.md.
//
//   SS_TRY(const Bundle bundle, Bundle::open(path, progress, interrupt));
//   bundle.config().n_layers; bundle.tensor("model.norm.weight"); bundle.prompts(); bundle.expected("bf16");

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/expected.h"
#include "bundle/manifest.h"
#include "bundle/model_config.h"
#include "bundle/model_tensors.h"
#include "bundle/prompts.h"
#include "bundle/tensor_store.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

class CacheLease;

/// Where zips are extracted to.
struct OpenOptions {
  std::optional<std::filesystem::path> cache;  ///< absent: cache_folder() of core/file.h
  std::int64_t cache_limit_bytes = std::int64_t{64} << 30;
};

class Bundle {
 public:
  /// A bundle folder or zip, or a plain Hugging Face folder. Of a bundle, every listed file must be there in its size,
  /// inside the folder; hashes are verify_bundle's work (verify.h). Of all, every tensor that the configuration calls
  /// for must be there in its shape. Errors: kInvalidInput, kUnsupported, kIo, kInterrupted (while extracting).
  static Result<Bundle> open(const std::filesystem::path& path, Progress& progress, const InterruptFlag& interrupt,
                             const OpenOptions& options = {});

  /// A folder as Hugging Face writes it (config.json, safetensors, perhaps tokenizer.json), without a manifest: enough
  /// to generate and evaluate. It has no variant with expected outputs, and is unverified.
  static Result<Bundle> open_model_folder(const std::filesystem::path& folder);

  Bundle(Bundle&&) noexcept;
  Bundle& operator=(Bundle&&) noexcept;
  ~Bundle();

  /// "default", or the folder's name where there is no manifest.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// The folder with the files; of a zip, its extracted copy, which stays in the cache while this object lives.
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  /// nullptr for a plain model folder.
  [[nodiscard]] const Manifest* manifest() const noexcept { return manifest_ ? &*manifest_ : nullptr; }
  [[nodiscard]] const ModelConfig& config() const noexcept { return config_; }
  [[nodiscard]] const TensorStore& tensors() const noexcept { return tensors_; }
  /// Identifies the content, 64 hexadecimal digits: SHA-256 of manifest.yaml, which has the hash of every file. Of a
  /// plain folder: of config.json and the safetensors headers, so not of the weights themselves.
  [[nodiscard]] const std::string& content_hash() const noexcept { return content_hash_; }

  /// The tensor of that name. Errors: kInvalidInput when there is none.
  Result<StoredTensor> tensor(std::string_view name) const;

  /// tokenizer.json's text; nullopt when the bundle has none. Errors: kInvalidInput, kIo.
  Result<std::optional<std::string>> tokenizer_json() const { return read_optional("tokenizer.json"); }
  Result<std::optional<std::string>> tokenizer_config_json() const { return read_optional("tokenizer_config.json"); }

  /// The built-in chat template family: as the manifest says, else recognised in tokenizer_config.json; "none".
  Result<std::string> chat_template() const;

  /// The golden prompts; none when there is no prompts folder. Errors: kInvalidInput, kIo.
  Result<GoldenPrompts> prompts() const;

  /// The variants that it can be run in: those of the manifest, or of a plain folder all.
  [[nodiscard]] std::vector<std::string> variants() const;

  /// What the reference answered in this variant; nullopt when the variant is unverified. Errors: kInvalidInput, kIo.
  Result<std::optional<std::vector<ExpectedOutput>>> expected(std::string_view variant) const;

 private:
  Bundle();
  /// The file's path, when it is part of the bundle.
  Result<std::optional<std::filesystem::path>> find_file(std::string_view path) const;
  Result<std::optional<std::string>> read_optional(std::string_view file) const;
  Result<void> load_manifest();
  Result<void> load_model();

  std::string name_;
  std::filesystem::path folder_;
  std::optional<Manifest> manifest_;
  ModelConfig config_;
  TensorStore tensors_;
  std::string content_hash_;
  std::unique_ptr<CacheLease> lease_;
};

/// Checks that every tensor of the configuration is stored, in its shape and in F32, F16 or BF16.
Result<void> check_tensors(const ModelConfig& config, const TensorStore& tensors, std::string_view name);

}  // namespace secondsource
