#pragma once
// An opened model with its golden prompts and expected outputs: one interface over a bundle folder, a zip of it, and a
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
#include "chat/chat_template.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

class CacheLease;

/// Options of Bundle::open: where zips are extracted and how large that cache may become.
struct OpenOptions {
  std::optional<std::filesystem::path> cache;  ///< absent means cache_folder() of core/file.h
  std::int64_t cache_limit_bytes = std::int64_t{64} << 30;
};

/// The name of a model without a manifest: the last part of the folder's absolute path.
[[nodiscard]] std::string model_folder_name(const std::filesystem::path& folder);

class Bundle {
 public:
  /// Opens a bundle folder, a zip, or a plain Hugging Face folder. In a bundle, every listed file must exist inside the
  /// folder and have its listed size; verify_bundle (verify.h) checks the hashes. In all three, every tensor that the
  /// configuration calls for must be stored in the right shape. Errors: kInvalidInput, kUnsupported, kIo, kInterrupted
  /// (while extracting).
  static Result<Bundle> open(const std::filesystem::path& path, Progress& progress, const InterruptFlag& interrupt,
                             const OpenOptions& options = {});

  /// Opens a folder as Hugging Face writes it (config.json, safetensors, perhaps tokenizer.json), without a manifest.
  /// That is enough to generate and to evaluate, but the model has no expected outputs and is therefore unverified.
  static Result<Bundle> open_model_folder(const std::filesystem::path& folder);

  Bundle(Bundle&&) noexcept;
  Bundle& operator=(Bundle&&) noexcept;
  ~Bundle();

  /// The bundle's name, such as "default", or the folder's name if there is no manifest.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// The folder with the files. For a zip this is its extracted copy, which stays in the cache while this object lives.
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
  /// True if folder() is the extracted copy of a zip.
  [[nodiscard]] bool is_extracted() const noexcept { return lease_ != nullptr; }
  /// The manifest; nullptr for a plain model folder.
  [[nodiscard]] const Manifest* manifest() const noexcept { return manifest_ ? &*manifest_ : nullptr; }
  [[nodiscard]] const ModelConfig& config() const noexcept { return config_; }
  [[nodiscard]] const TensorStore& tensors() const noexcept { return tensors_; }
  /// Identifies the intended content by 64 hexadecimal digits: the SHA-256 of manifest.yaml, which holds the hash of
  /// every file. Empty for a plain folder. check_content() (content.h) checks the actual content.
  [[nodiscard]] const std::string& content_hash() const noexcept { return content_hash_; }

  /// Returns the tensor of that name. Errors: kInvalidInput if there is none.
  Result<StoredTensor> tensor(std::string_view name) const;

  /// The text of tokenizer.json, or of what SentencePiece's tokenizer.model of a folder stands for
  /// (sentencepiece_files.h); nullopt if there is neither. Errors: kInvalidInput, kUnsupported, kIo.
  Result<std::optional<std::string>> tokenizer_json() const;
  Result<std::optional<std::string>> tokenizer_config_json() const { return read_optional("tokenizer_config.json"); }

  /// The chat template that the manifest names, a file of the bundle or one of this program; without a manifest the
  /// model's own (chat_files.h); nullopt for none. Errors: kInvalidInput, kUnsupported for an unknown name, kIo.
  Result<std::optional<ChatTemplateSource>> chat_template() const;

  /// The golden prompts; empty if there is no prompts folder. Errors: kInvalidInput, kIo.
  Result<GoldenPrompts> prompts() const;

  /// The variants in which the model can run: those of the manifest, or for a plain folder all variants, a published one
  /// first.
  [[nodiscard]] std::vector<std::string> variants() const;

  /// Errors: kInvalidInput for a name that is none of variants().
  Result<void> check_has_variants(const std::vector<std::string>& names) const;

  /// The reference's outputs in this variant; nullopt if the variant is unverified. Errors: kInvalidInput, kIo.
  Result<std::optional<std::vector<ExpectedOutput>>> expected(std::string_view variant) const;

 private:
  Bundle();
  /// The file's path, or nullopt if the file is not part of the bundle.
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

/// Checks that every tensor of the configuration is stored in its shape and as F32, F16 or BF16.
Result<void> check_tensors(const ModelConfig& config, const TensorStore& tensors, std::string_view name);

}  // namespace secondsource
