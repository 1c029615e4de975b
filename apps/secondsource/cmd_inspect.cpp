// secondsource inspect FILE: describes the content of one file; a malformed file gives a one-line error.

#include <fmt/format.h>

#include <span>

#include "bundle/gguf.h"
#include "bundle/manifest.h"
#include "bundle/model_config.h"
#include "bundle/model_tensors.h"
#include "bundle/prompts.h"
#include "bundle/safetensors.h"
#include "bundle/zip.h"
#include "commands.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/json.h"
#include "core/units.h"
#include "core/utf8.h"
#include "core/yaml.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {
namespace {

constexpr std::int64_t kMaxTextBytes = std::int64_t{256} << 20;
// Limits for a mere syntax check of JSON, which may be nested deeper than any of our formats.
constexpr JsonLimits kSyntaxLimits{.max_bytes = kMaxTextBytes, .max_depth = 512, .allow_duplicate_keys = true};

struct InspectOptions {
  std::string file;
  std::string as;
};

Result<std::string> inspect_safetensors(const std::string& path) {
  SS_TRY(const MappedFile file, MappedFile::map(path));
  SS_TRY(const SafetensorsHeader header, parse_safetensors(file.bytes(), path));
  std::string text = fmt::format("safetensors: {}, {}\n", counted(header.tensors.size(), "tensor"),
                                 format_bytes(static_cast<std::int64_t>(file.bytes().size())));
  for (const auto& [key, value] : header.metadata) text += fmt::format("  {} = {}\n", printable(key), printable(value));
  for (const TensorInfo& tensor : header.tensors) {
    text += fmt::format("  {} {} {}\n", printable(tensor.name), tensor.dtype_name, tensor.shape.to_string());
  }
  return text;
}

std::string shortened(std::string_view text) {
  constexpr std::size_t kMost = 80;
  return text.size() <= kMost ? printable(text) : printable(text.substr(0, kMost)) + "...";
}

std::string value_text(const GgufValue& value) {
  return std::visit(
      [](const auto& held) {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, std::string_view>) return shortened(held);
        if constexpr (std::is_arithmetic_v<T>) return fmt::format("{}", held);
        if constexpr (!std::is_arithmetic_v<T> && !std::is_same_v<T, std::string_view>) {
          return counted(held.size(), "value");
        }
      },
      value.value);
}

Result<std::string> inspect_gguf(const std::string& path) {
  SS_TRY(const MappedFile file, MappedFile::map(path));
  SS_TRY(const GgufHeader header, parse_gguf(file.bytes(), path));
  std::string text = fmt::format("GGUF version {}: {}, {}\n", header.version, counted(header.metadata.size(), "key"),
                                 counted(header.tensors.size(), "tensor"));
  for (const auto& [key, value] : header.metadata) {
    text += fmt::format("  {} ({}) = {}\n", printable(key), value.type, value_text(value));
  }
  for (const GgufTensor& tensor : header.tensors) {
    text += fmt::format("  {} {} {}\n", printable(tensor.name), tensor.type_name, tensor.shape.to_string());
  }
  return text;
}

Result<std::string> inspect_zip(const std::string& path, CommandContext& context) {
  SS_TRY(const ZipArchive archive, ZipArchive::open(path));
  SS_TRY_VOID(archive.check_contents(context.progress, context.interrupt));
  std::string text = fmt::format("zip: {}, {} when extracted\n", counted(archive.entries().size(), "entry", "entries"),
                                 format_bytes(archive.total_bytes()));
  for (const ZipEntry& entry : archive.entries()) {
    text += fmt::format("  {}{} {}\n", entry.path, entry.is_folder ? "/" : "", counted(entry.size_bytes, "byte"));
  }
  return text;
}

Result<std::string> inspect_json(const std::string& path, const std::string& content) {
  const bool is_tokenizer =
      content.find("\"added_tokens\"") != std::string::npos && content.find("\"model\"") != std::string::npos;
  if (is_tokenizer) {
    SS_TRY(const Tokenizer tokenizer, Tokenizer::from_json(content, path));
    return fmt::format("tokenizer: {}\n", counted(tokenizer.vocab_size(), "id"));
  }
  if (content.find("\"architectures\"") != std::string::npos) {
    SS_TRY(const ModelConfig config, parse_model_config(content, path));
    return fmt::format("model configuration: {}, {} parameters\n", to_string(config.architecture),
                       n_parameters(config));
  }
  SS_TRY_VOID(check_json(content, path, kSyntaxLimits));
  return std::string("JSON\n");
}

Result<std::string> inspect_yaml(const std::string& path, const std::string& content) {
  SS_TRY(const YamlNode root, parse_yaml(content, path));
  if (root.has("format")) {
    SS_TRY(const Manifest manifest, parse_manifest(content, path));
    const std::string& quantization = manifest.source_quantization;
    return fmt::format("manifest of {}: {}, {}{}\n", manifest.name, counted(manifest.files.size(), "file"),
                       counted(manifest.variants.size(), "variant"),
                       quantization.empty() ? "" : fmt::format("; quantized at its source: {}", quantization));
  }
  if (root.has("suite_format")) {
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    const DocumentReader read_document = [&](const std::string& file) {
      return read_file(folder / file, kMaxTextBytes);
    };
    GoldenPrompts prompts;
    SS_TRY_VOID(add_prompt_suite(content, path, read_document, prompts));
    return fmt::format("golden prompts: {}, {}\n", counted(prompts.prompts.size(), "prompt"),
                       counted(prompts.documents.size(), "document"));
  }
  return std::string("YAML\n");
}

/// Determines the format from --as, otherwise from the first bytes, otherwise from the name.
Result<std::string> format_of(const InspectOptions& options) {
  if (!options.as.empty()) return options.as;
  SS_TRY(InputFile file, InputFile::open(options.file));
  std::string start(4, '\0');
  SS_TRY(const std::size_t n_read, file.read(std::as_writable_bytes(std::span(start))));
  start.resize(n_read);
  if (start == "GGUF") return std::string("gguf");
  if (start == "PK\x03\x04" || start == "PK\x05\x06") return std::string("zip");
  const std::string extension = std::filesystem::path(options.file).extension().string();
  if (extension == ".yaml" || extension == ".yml") return std::string("yaml");
  if (extension.size() > 1) return extension.substr(1);
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected a name with an extension, or --as; found neither", options.file)};
}

Result<std::string> inspect(const InspectOptions& options, CommandContext& context) {
  SS_TRY(const std::string format, format_of(options));
  if (format == "safetensors") return inspect_safetensors(options.file);
  if (format == "gguf") return inspect_gguf(options.file);
  if (format == "zip") return inspect_zip(options.file, context);
  if (format != "json" && format != "yaml") {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected a file name that ends in .safetensors, "
                                                       ".gguf, .zip, .json or .yaml, or --as; found .{}",
                                                       options.file, printable(format))};
  }
  SS_TRY(const std::string content, read_file(options.file, kMaxTextBytes));
  if (options.as.empty())
    return format == "json" ? inspect_json(options.file, content) : inspect_yaml(options.file, content);
  if (format == "json") {
    SS_TRY_VOID(check_json(content, options.file, kSyntaxLimits));
    return std::string("JSON\n");
  }
  SS_TRY_VOID(parse_yaml(content, options.file));
  return std::string("YAML\n");
}

}  // namespace

CommandNode* add_inspect_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<InspectOptions>();
  CommandNode* command = app.add_subcommand("inspect", "What is in one file; a malformed one is refused");
  command->add_option("file", options->file, "safetensors, GGUF, tokenizer.json, config.json, zip, manifest or prompts")
      ->required();
  command->add_option("--as", options->as, "Check the syntax of this format alone")
      ->check(OneOf({"json", "yaml", "zip", "gguf", "safetensors"}));
  command->footer("Example: secondsource inspect bundles/default/model.safetensors");
  command->callback([options, &action] {
    action = [options](CommandContext& context) -> Result<ExitStatus> {
      SS_TRY(const std::string text, inspect(*options, context));
      SS_TRY_VOID(print_text(text));
      return ExitStatus::kOk;
    };
  });
  return command;
}

}  // namespace secondsource
