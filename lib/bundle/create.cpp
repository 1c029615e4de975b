#include "bundle/create.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <span>
#include <system_error>
#include <utility>

#include "bundle/bundle.h"
#include "bundle/bundle_writer.h"
#include "bundle/chat_files.h"
#include "bundle/finite_weights.h"
#include "bundle/gguf_folder.h"
#include "bundle/model_tensors.h"
#include "bundle/prompts.h"
#include "bundle/quantized_folder.h"
#include "bundle/relative_path.h"
#include "bundle/sentencepiece_files.h"
#include "bundle/staged_folder.h"
#include "bundle/variant.h"
#include "chat/named_templates.h"
#include "core/calendar.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/utf8.h"
#include "jinja/limits.h"
#include "tokenizer/tokenizer_config.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

/// The files that are copied beside the configuration and the weights. Other files of the folder (other formats, code,
/// pictures) are left out.
constexpr std::array<std::string_view, 4> kTextFiles = {"generation_config.json", "tokenizer.json",
                                                        "tokenizer_config.json", "special_tokens_map.json"};

/// The stored type that takes the most bytes, as a variant's name. For published codes it is f32, the only type that
/// holds their values.
std::string stored_variant(const Bundle& model) {
  if (!model.tensors().published_variant().empty()) return "f32";
  std::map<DType, std::size_t> bytes;
  for (const TensorSpec& spec : model_tensors(model.config())) {
    const TensorInfo& info = model.tensors().find(spec.name)->info;
    bytes[*info.dtype] += info.size_bytes;
  }
  const auto most =
      std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return std::string(to_string(most->first));
}

/// All variants in which the weights can be used. A published variant comes first, because it is the model as it is
/// deployed.
std::vector<ManifestVariant> variants_of(const std::string& stored, const std::string& published) {
  std::vector<ManifestVariant> variants;
  if (!published.empty()) {
    variants.push_back({.name = published, .tier = tier_without_quality(published), .is_stored = true});
  }
  for (const std::string_view name : kVariantNames) {
    if (name == "f32" && stored != "f32") continue;
    ManifestVariant variant;
    variant.name = name;
    variant.is_stored = name == stored;
    variant.tier = tier_without_quality(name);
    variants.push_back(std::move(variant));
  }
  return variants;
}

Result<void> check_prompts(const fs::path& folder) {
  const auto refuse = [&](std::string_view found) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("--prompts {}: expected a folder of golden prompt suites (*.yaml), found {}",
                             folder.string(), found)};
  };
  std::error_code ignored;
  if (fs::is_regular_file(folder, ignored)) return refuse("a file: name the folder that suites lie in");
  if (!path_exists(folder)) return refuse("nothing");
  SS_TRY(const GoldenPrompts prompts, read_prompts(folder));
  if (prompts.prompts.empty()) return refuse("no prompts in it");
  return {};
}

/// Adds the suites of a folder that check_prompts() accepted.
Result<void> add_prompts(const fs::path& folder, BundleWriter& writer) {
  SS_TRY(const std::vector<fs::path> files, list_files_below(folder));
  for (const fs::path& file : files) {
    const std::string extension = file.extension().string();
    std::error_code absent;
    if (!fs::is_regular_file(file, absent) || (extension != ".yaml" && extension != ".txt")) continue;
    if (find_invalid_utf8(file.string())) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected a name in UTF-8", shown(file.string()))};
    }
    SS_TRY_VOID(writer.add_copy((fs::path("prompts") / file.lexically_relative(folder)).generic_string(), file));
  }
  return {};
}

/// The template that the options ask for: a name, a file, or the model's own; nullopt for none.
Result<std::optional<ChatTemplateSource>> chosen_template(const CreateOptions& options, const fs::path& model_folder) {
  if (!options.chat_template) {
    SS_TRY(const std::vector<std::string> more_files, more_template_files(model_folder));
    SS_TRY(ChatTemplateSource own, model_chat_templates(reader_of(model_folder), more_files, model_folder.string()));
    return std::optional(std::move(own));
  }
  if (*options.chat_template == "none") return std::optional<ChatTemplateSource>();
  ChatTemplateSource source{.templates = {}, .special_tokens = {}, .name = *options.chat_template};
  const fs::path file = *options.chat_template;
  std::error_code ignored;
  if (fs::is_regular_file(file, ignored)) {
    SS_TRY(source.templates["default"], read_file(file, jinja::kMaxTemplateBytes));
    return std::optional(std::move(source));
  }
  const Result<std::string_view> named = named_chat_template(*options.chat_template);
  if (!named) return Error{ErrorCode::kInvalidInput, named.error().message + ", a Jinja file, or none"};
  source.templates["default"] = *named;
  return std::optional(std::move(source));
}

/// Writes the templates as transformers does: chat_template.jinja, and the others beside it.
Result<void> add_chat_template(const CreateOptions& options, const fs::path& model_folder, BundleWriter& writer,
                               Manifest& manifest, Progress& progress) {
  SS_TRY(const std::optional<ChatTemplateSource> source, chosen_template(options, model_folder));
  if (!source || !source->templates.contains("default")) return {};
  if (const Result<ChatTemplate> parsed = ChatTemplate::parse(*source); !parsed) {
    if (options.chat_template) return parsed.error();
    progress.note(fmt::format("{}; prompts with messages will be skipped", parsed.error().message));
  }
  for (const auto& [name, text] : source->templates) {
    const bool is_default = name == "default";
    const std::string path =
        is_default ? std::string(kChatTemplateFile) : fmt::format("{}/{}.jinja", kMoreChatTemplates, name);
    if (!is_default && !check_relative_path(path, "chat template")) {
      progress.note(
          fmt::format("chat template {}: left out, because its name cannot be the name of a file", in_quotes(name)));
      continue;
    }
    SS_TRY_VOID(writer.add_text(path, text));
  }
  manifest.chat_template = kChatTemplateFile;
  manifest.chat_date = options.chat_date;
  return {};
}

/// Copies the files of a model folder that are there, or links to them.
Result<void> add_model_files(const CreateOptions& options, std::span<const std::string_view> files,
                             BundleWriter& writer) {
  std::error_code ignored;
  for (const std::string_view file : files) {
    const fs::path source = options.model_folder / file;
    if (!fs::exists(source, ignored)) continue;
    SS_TRY_VOID(options.takes_files ? writer.add_link(std::string(file), source)
                                    : writer.add_copy(std::string(file), source));
  }
  return {};
}

/// Copies the text files beside the configuration. If the folder has SentencePiece's tokenizer.model and no
/// tokenizer.json, writes a tokenizer.json. If that tokenizer is not supported, a note says so, and the bundle only
/// takes prompts given as token ids.
Result<void> add_text_files(const CreateOptions& options, BundleWriter& writer, Progress& progress) {
  SS_TRY_VOID(add_model_files(options, kTextFiles, writer));
  if (path_exists(options.model_folder / "tokenizer.json")) return {};
  const Result<std::optional<std::string>> json =
      tokenizer_json_of_sentencepiece(reader_of(options.model_folder), options.model_folder.string());
  if (!json && json.error().code == ErrorCode::kUnsupported) {
    progress.note(
        fmt::format("{}; so the bundle takes only prompts that are given as token ids", json.error().message));
    return {};
  }
  if (!json) return json.error();
  return *json ? writer.add_text("tokenizer.json", **json) : Result<void>();
}

/// The last step, which is the same for every kind of source: the manifest, the chat template and the prompts.
/// `manifest` says where the weights come from; `model` is the written folder, and the templates are in
/// `template_folder`.
Result<void> finish_bundle(const CreateOptions& options, const Bundle& model, const fs::path& template_folder,
                           Manifest manifest, BundleWriter& writer, Progress& progress) {
  if (!options.name.empty()) manifest.name = options.name;
  manifest.family = to_string(model.config().architecture);
  manifest.license = options.license;
  manifest.source_url = options.source_url;
  if (!options.source_description.empty()) manifest.source_description = options.source_description;
  manifest.variants = variants_of(stored_variant(model), model.tensors().published_variant());
  SS_TRY_VOID(add_chat_template(options, template_folder, writer, manifest, progress));
  if (options.prompts) SS_TRY_VOID(add_prompts(*options.prompts, writer));
  return writer.finish(std::move(manifest));
}

Result<void> create_from_gguf(const CreateOptions& options, const fs::path& target, Progress& progress,
                              const InterruptFlag& interrupt) {
  SS_TRY(StagedFolder folder, StagedFolder::create(target));
  BundleWriter writer(folder.path(), progress, interrupt);
  SS_TRY(const GgufOrigin origin,
         write_gguf_model(options.gguf_file, options.quantized_weights, writer, progress, interrupt));
  SS_TRY(const Bundle model, Bundle::open_model_folder(folder.path()));
  Manifest manifest;
  manifest.name = origin.model_name;
  manifest.source_description = fmt::format("the GGUF file {}", options.gguf_file.filename().string());
  manifest.source_quantization = origin.quantization;
  SS_TRY_VOID(finish_bundle(options, model, folder.path(), std::move(manifest), writer, progress));
  return folder.commit();
}

Result<void> create_from_quantized(const CreateOptions& options, const fs::path& target, Progress& progress,
                                   const InterruptFlag& interrupt) {
  SS_TRY(StagedFolder folder, StagedFolder::create(target));
  BundleWriter writer(folder.path(), progress, interrupt);
  Manifest manifest;
  SS_TRY(manifest.source_quantization,
         write_quantized_model(options.model_folder, options.quantized_weights, writer, progress, interrupt));
  SS_TRY_VOID(add_text_files(options, writer, progress));
  SS_TRY(const Bundle model, Bundle::open_model_folder(folder.path()));
  manifest.name = model_folder_name(options.model_folder);
  manifest.source_description = fmt::format("the Hugging Face folder {}", manifest.name);
  SS_TRY_VOID(finish_bundle(options, model, options.model_folder, std::move(manifest), writer, progress));
  return folder.commit();
}

/// Refuses weights of which the model would use only a part, for example those of a model with more layers.
Result<void> expect_no_other_tensors(const Bundle& model, const fs::path& folder) {
  std::set<std::string, std::less<>> known;
  for (const TensorSpec& spec : model_tensors(model.config())) known.insert(spec.name);
  for (const auto& [name, tensor] : model.tensors().tensors()) {
    if (known.contains(name) || is_without_effect(model.config(), name)) continue;
    return Error{ErrorCode::kUnsupported,
                 fmt::format("{}: tensor {}: not a tensor of {} with these settings", folder.string(), printable(name),
                             to_string(model.config().architecture))};
  }
  return {};
}

Result<void> create_from_folder(const CreateOptions& options, const fs::path& target, Progress& progress,
                                const InterruptFlag& interrupt) {
  SS_TRY(const Bundle model, Bundle::open_model_folder(options.model_folder));
  SS_TRY_VOID(expect_no_other_tensors(model, options.model_folder));
  SS_TRY_VOID(check_finite_weights(model.config(), model.tensors(), progress, interrupt));
  Manifest manifest;
  manifest.name = model.name();
  manifest.source_description = fmt::format("the Hugging Face folder {}", model.name());
  SS_TRY(StagedFolder folder, StagedFolder::create(target));
  BundleWriter writer(folder.path(), progress, interrupt);
  SS_TRY_VOID(add_model_files(options, std::array{std::string_view("config.json")}, writer));
  SS_TRY_VOID(add_text_files(options, writer, progress));
  SS_TRY_VOID(add_model_files(options, std::array{kWeightIndexFile}, writer));
  if (options.smoothing) {
    SS_TRY_VOID(check_can_be_smoothed(model.config(), model.tensors()));
    SS_TRY_VOID(write_smoothed_weights(options.model_folder, model.config(), model.tensors(), *options.smoothing,
                                       writer, progress, interrupt));
    manifest.smoothing = options.smoothing->record;
  } else {
    const std::vector<std::string>& files = model.tensors().files();
    SS_TRY_VOID(add_model_files(options, std::vector<std::string_view>(files.begin(), files.end()), writer));
  }
  SS_TRY_VOID(finish_bundle(options, model, options.model_folder, std::move(manifest), writer, progress));
  return folder.commit();
}

Error smooths_folders_only() {
  return {
      ErrorCode::kUnsupported,
      "smoothing reads a folder with weights in BF16 or F32: make a bundle of the quantized model first, and smooth that"};
}

}  // namespace

Result<void> check_create_options(const CreateOptions& options) {
  if (!options.name.empty()) {
    const Result<void> may_be_name = check_bundle_name(options.name);
    if (!may_be_name) return may_be_name.error().with_context("--name");
  }
  if (!days_since_1970(options.chat_date)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("--chat-date: expected a day YYYY-MM-DD, found {}", in_quotes(options.chat_date))};
  }
  return options.prompts ? check_prompts(*options.prompts) : Result<void>();
}

Result<void> create_bundle(const CreateOptions& options, const fs::path& target, Progress& progress,
                           const InterruptFlag& interrupt) {
  SS_TRY_VOID(check_create_options(options));
  if (options.smoothing && !options.gguf_file.empty()) return smooths_folders_only();
  if (!options.gguf_file.empty()) return create_from_gguf(options, target, progress, interrupt);
  if (options.name.empty() && path_exists(options.model_folder / "config.json")) {
    const Result<void> may_be_name = check_bundle_name(model_folder_name(options.model_folder));
    if (!may_be_name) {
      return may_be_name.error().with_context(
          fmt::format("{}: this folder's name cannot be the name of a bundle; give one with --name",
                      options.model_folder.string()));
    }
  }
  SS_TRY(const bool is_quantized, has_quantized_weights(options.model_folder));
  if (options.smoothing && is_quantized) return smooths_folders_only();
  return is_quantized ? create_from_quantized(options, target, progress, interrupt)
                      : create_from_folder(options, target, progress, interrupt);
}

}  // namespace secondsource
