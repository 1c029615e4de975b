#include "bundle/bundle.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "bundle/chat_files.h"
#include "bundle/extraction_cache.h"
#include "bundle/file_kind.h"
#include "bundle/foreign_model.h"
#include "bundle/model_names.h"
#include "bundle/quantized_folder.h"
#include "bundle/relative_path.h"
#include "bundle/sentencepiece_files.h"
#include "bundle/variant.h"
#include "chat/named_templates.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/hash.h"
#include "core/utf8.h"
#include "tokenizer/tokenizer_config.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxTextBytes = std::int64_t{128} << 20;

/// Checks that every file of the manifest exists inside the folder and has its listed size.
Result<void> check_listed_files(const Manifest& manifest, const fs::path& folder) {
  for (const ManifestFile& file : manifest.files) {
    SS_TRY(const fs::path path, resolve_inside(folder, file.path));
    std::error_code error;
    const auto size_bytes = static_cast<std::int64_t>(fs::file_size(path, error));
    if (error)
      return Error{ErrorCode::kIo, fmt::format("{}: cannot read its size: {}", path.string(), error.message())};
    if (size_bytes != file.size_bytes) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}: expected {} bytes as the manifest says, found {}",
                                                         folder.string(), file.path, file.size_bytes, size_bytes)};
    }
  }
  return {};
}

Error expected_bundle(const fs::path& path, std::string_view found) {
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format(
          "{}: expected a bundle: a folder with manifest.yaml, a zip of one, or a Hugging Face folder; found {}",
          path.string(), found)};
}

Error expected_model_folder(const fs::path& path, std::string_view found) {
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected a Hugging Face folder, with config.json and *.safetensors; found {}",
                           path.string(), found)};
}

/// Describes a folder that holds no model of any known format; empty if there may be a model, or if the folder cannot
/// be listed.
std::string_view known_as_no_model(const fs::path& folder) {
  if (path_exists(folder / "config.json") || foreign_weights(folder)) return "";
  const auto entries = list_folder(folder);
  if (!entries) return "";
  return entries->empty() ? "an empty folder" : "a folder with neither manifest.yaml nor config.json";
}

}  // namespace

std::string model_folder_name(const fs::path& folder) {
  return fs::absolute(folder / "").lexically_normal().parent_path().filename().string();
}

Bundle::Bundle() = default;
Bundle::Bundle(Bundle&&) noexcept = default;
Bundle& Bundle::operator=(Bundle&&) noexcept = default;
Bundle::~Bundle() = default;

Result<void> check_tensors(const ModelConfig& config, const TensorStore& tensors, std::string_view name) {
  for (const TensorSpec& spec : model_tensors(config)) {
    const StoredTensor* stored = tensors.find(spec.name);
    if (stored == nullptr) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: expected {}, found no such tensor", name,
                                                         stored_name(config, spec.name), spec.shape.to_string())};
    }
    if (stored->info.shape != spec.shape) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: expected {}, found {}", name, spec.name,
                                                         spec.shape.to_string(), stored->info.shape.to_string())};
    }
    if (!stored->info.dtype || !encoding_as_stored(*stored->info.dtype)) {
      return Error{ErrorCode::kUnsupported, fmt::format("{}: tensor {}: expected F32, F16 or BF16, found {}", name,
                                                        spec.name, printable(stored->info.dtype_name))};
    }
  }
  return {};
}

Result<void> Bundle::load_manifest() {
  const fs::path path = folder_ / kManifestFile;
  SS_TRY(const std::string text, read_file(path, kMaxManifestBytes));
  SS_TRY(manifest_, parse_manifest(text, path.string()));
  SS_TRY_VOID(check_listed_files(*manifest_, folder_));
  name_ = manifest_->name;
  content_hash_ = sha256_hex(text);
  return {};
}

Result<void> Bundle::load_model() {
  const fs::path config_path = folder_ / "config.json";
  std::error_code ignored;
  if (!fs::exists(config_path, ignored)) {
    if (const auto foreign = foreign_weights(folder_)) return refuse_foreign(folder_, "config.json", *foreign);
  }
  SS_TRY(const std::string text, read_file(config_path, kMaxConfigBytes));
  SS_TRY(config_, parse_model_config(text, config_path.string()));
  SS_TRY(const std::optional<std::string> generation, read_optional("generation_config.json"));
  if (generation) {
    SS_TRY_VOID(take_generation_config(*generation, (folder_ / "generation_config.json").string(), config_));
  }
  SS_TRY(tensors_, TensorStore::open(folder_));
  if (manifest_) {
    // Every file that determines the weights must be listed in the manifest, whose hashes vouch for it.
    std::vector<std::string> used = tensors_.files();
    if (fs::exists(folder_ / kWeightIndexFile, ignored)) used.emplace_back(kWeightIndexFile);
    for (const std::string& file : used) {
      if (manifest_->find_file(file) != nullptr) continue;
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: {}: expected it in the manifest's files", folder_.string(), file)};
    }
    for (const ManifestVariant& variant : manifest_->variants) {
      if (!is_published_variant(variant.name) || variant.name == tensors_.published_variant()) continue;
      const std::string& found = tensors_.published_variant();
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: variant {}: expected weights that are stored so, found {}", folder_.string(),
                               variant.name, found.empty() ? "none" : found)};
    }
  }
  SS_TRY_VOID(name_tensors_as_the_model(folder_.string(), config_, tensors_));
  return check_tensors(config_, tensors_, folder_.string());
}

Result<Bundle> Bundle::open_model_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::is_regular_file(folder, error)) {
    std::string kind = known_as_no_bundle(folder);
    if (kind.empty()) kind = "a file";
    return expected_model_folder(folder, kind);
  }
  if (const std::string_view found = known_as_no_model(folder); !found.empty()) {
    return expected_model_folder(folder, found);
  }
  SS_TRY(const bool is_quantized, has_quantized_weights(folder));
  if (is_quantized) {
    return Error{
        ErrorCode::kUnsupported,
        fmt::format("{}: expected weights in F32, F16 or BF16, found a quantized checkpoint: make a bundle of it "
                    "(`secondsource bundle create --from-hf {} --out BUNDLE`)",
                    folder.string(), folder.string())};
  }
  Bundle bundle;
  bundle.folder_ = folder;
  bundle.name_ = model_folder_name(folder);
  SS_TRY_VOID(bundle.load_model());
  return bundle;
}

Result<Bundle> Bundle::open(const fs::path& path, Progress& progress, const InterruptFlag& interrupt,
                            const OpenOptions& options) {
  std::error_code error;
  Bundle bundle;
  bundle.folder_ = path;
  if (fs::is_regular_file(path, error)) {
    if (const std::string kind = known_as_no_bundle(path); !kind.empty()) return expected_bundle(path, kind);
    if (!may_be_zip(path)) return expected_bundle(path, "another kind of file");
    SS_TRY(CacheLease lease, extract_to_cache(path, progress, interrupt, options));
    bundle.lease_ = std::make_unique<CacheLease>(std::move(lease));
    bundle.folder_ = bundle.lease_->bundle_folder();
  } else if (!fs::is_directory(path, error)) {
    return expected_bundle(path, fs::exists(path, error) ? "something else" : "nothing");
  }
  if (!fs::exists(bundle.folder_ / kManifestFile, error)) {
    if (const std::string_view found = known_as_no_model(bundle.folder_); !found.empty()) {
      return expected_bundle(path, found);
    }
    return open_model_folder(bundle.folder_);
  }
  SS_TRY_VOID(bundle.load_manifest());
  SS_TRY_VOID(bundle.load_model());
  return bundle;
}

Result<StoredTensor> Bundle::tensor(std::string_view name) const {
  const StoredTensor* found = tensors_.find(name);
  if (found == nullptr) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("bundle {}: tensor {}: found no such tensor", name_, printable(name))};
  }
  return *found;
}

Result<std::optional<fs::path>> Bundle::find_file(std::string_view path) const {
  std::error_code ignored;
  const bool is_part = manifest_ ? manifest_->find_file(path) != nullptr : fs::exists(folder_ / path, ignored);
  if (!is_part) return std::optional<fs::path>();
  if (!manifest_) return std::optional(folder_ / path);  // the folder belongs to the user and may contain links
  SS_TRY(fs::path file, resolve_inside(folder_, path));
  return std::optional(std::move(file));
}

Result<std::optional<std::string>> Bundle::read_optional(std::string_view file) const {
  SS_TRY(const std::optional<fs::path> path, find_file(file));
  if (!path) return std::optional<std::string>();
  SS_TRY(std::string text, read_file(*path, kMaxTextBytes));
  return std::optional(std::move(text));
}

Result<std::optional<std::string>> Bundle::tokenizer_json() const {
  SS_TRY(std::optional<std::string> json, read_optional("tokenizer.json"));
  if (json) return json;
  return tokenizer_json_of_sentencepiece([&](std::string_view path) { return read_optional(path); }, folder_.string());
}

Result<std::optional<ChatTemplateSource>> Bundle::chat_template() const {
  const ChatFileReader read = [&](std::string_view path) { return read_optional(path); };
  std::vector<std::string> more_files;
  if (manifest_ == std::nullopt) {
    SS_TRY(more_files, more_template_files(folder_));
    SS_TRY(ChatTemplateSource own, model_chat_templates(read, more_files, folder_.string()));
    return own.templates.empty() ? std::optional<ChatTemplateSource>() : std::optional(std::move(own));
  }
  if (manifest_->chat_template == "none") return std::optional<ChatTemplateSource>();
  ChatTemplateSource source;
  if (manifest_->has_chat_template_file()) {
    for (const ManifestFile& file : manifest_->files) {
      const bool is_template = file.path.starts_with(kMoreChatTemplates) && file.path.ends_with(".jinja");
      if (is_template) more_files.push_back(file.path);
    }
    SS_TRY(source, model_chat_templates(read, more_files, folder_.string()));
    SS_TRY(const std::optional<std::string> text, read_optional(manifest_->chat_template));
    source.templates["default"] = *text;
    source.name = (folder_ / manifest_->chat_template).string();
  } else {
    SS_TRY(const std::string_view text, named_chat_template(manifest_->chat_template));
    SS_TRY(source.special_tokens, special_tokens(read, folder_.string()));
    source.templates["default"] = text;
    source.name = fmt::format("chat template {}", manifest_->chat_template);
  }
  if (manifest_->chat_date) source.date = *manifest_->chat_date;
  return std::optional(std::move(source));
}

Result<GoldenPrompts> Bundle::prompts() const {
  std::error_code ignored;
  if (!manifest_) {
    const fs::path folder = folder_ / "prompts";
    return fs::is_directory(folder, ignored) ? read_prompts(folder) : Result<GoldenPrompts>(GoldenPrompts());
  }
  const DocumentReader read_document = [&](const std::string& file) -> Result<std::string> {
    const std::string path = std::string(kPromptsFolder) + file;
    SS_TRY(std::optional<std::string> text, read_optional(path));
    if (text) return *std::move(text);
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: {}: expected it in the manifest's files", folder_.string(), path)};
  };
  GoldenPrompts prompts;
  for (const ManifestFile& file : manifest_->files) {
    if (!file.path.starts_with(kPromptsFolder) || !file.path.ends_with(".yaml")) continue;
    if (file.path.find('/', kPromptsFolder.size()) != std::string::npos) continue;
    SS_TRY(const std::optional<std::string> text, read_optional(file.path));
    SS_TRY_VOID(add_prompt_suite(*text, (folder_ / file.path).string(), read_document, prompts));
  }
  SS_TRY_VOID(check_documents(prompts, folder_.string()));
  return prompts;
}

std::vector<std::string> Bundle::variants() const {
  if (!manifest_) return variants_with_published(tensors_.published_variant());
  std::vector<std::string> names;
  for (const ManifestVariant& variant : manifest_->variants) names.push_back(variant.name);
  return names;
}

Result<void> Bundle::check_has_variants(const std::vector<std::string>& names) const {
  return check_known_variants("bundle " + name_, variants(), names);
}

Result<std::optional<std::vector<ExpectedOutput>>> Bundle::expected(std::string_view variant) const {
  const ManifestVariant* found = manifest_ ? manifest_->find_variant(variant) : nullptr;
  if (found == nullptr || !found->expected) return std::optional<std::vector<ExpectedOutput>>();
  SS_TRY(const fs::path path, resolve_inside(folder_, *found->expected));
  SS_TRY(std::vector<ExpectedOutput> outputs, read_expected(path, config_.vocab_size));
  return std::optional(std::move(outputs));
}

}  // namespace secondsource
