#include "tokenizer_source.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "bundle/bundle.h"
#include "bundle/foreign_model.h"
#include "bundle/gguf.h"
#include "core/file.h"
#include "core/folder.h"
#include "gguf_tokenizer.h"
#include "tokenizer/tokenizer_config.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

/// Reads the first four bytes of a file, which identify its format.
Result<std::string> read_magic(const fs::path& path) {
  SS_TRY(InputFile file, InputFile::open(path));
  std::array<std::byte, 4> bytes{};
  SS_TRY(const std::size_t n_read, file.read(bytes));
  return std::string(reinterpret_cast<const char*>(bytes.data()), n_read);
}

/// Sets the chat family from a Jinja template, or the reason why there is none.
void recognise(const std::optional<std::string>& jinja, TokenizerSource& source) {
  if (!jinja) {
    source.no_chat_reason = "expected a chat template, found none";
    return;
  }
  const Result<ChatFamily> family = detect_chat_family(*jinja);
  if (family) {
    source.chat_family = *family;
  } else {
    source.no_chat_reason = family.error().message;
  }
}

/// Takes the tokens of a tokenizer_config.json, and recognises the chat template: `jinja`, or else the one in the file.
Result<void> read_config(const std::optional<std::string>& json, const std::string& name,
                         const std::optional<std::string>& jinja, TokenizerSource& source) {
  TokenizerConfig config;
  if (json) {
    SS_TRY(config, parse_tokenizer_config(*json, name));
  }
  source.bos_token = config.bos_token;
  source.eos_token = config.eos_token;
  recognise(jinja ? jinja : config.chat_template, source);
  return {};
}

Result<std::optional<std::string>> read_if_present(const fs::path& path) {
  if (!path_exists(path)) return std::optional<std::string>();
  SS_TRY(std::string text, read_file(path));
  return std::optional(std::move(text));
}

/// Opens a tokenizer.json and, if they exist, the tokenizer_config.json and the chat_template.jinja beside it.
Result<TokenizerSource> open_json(const fs::path& path) {
  SS_TRY(const std::string text, read_file(path));
  SS_TRY(Tokenizer tokenizer, Tokenizer::from_json(text, path.string()));
  TokenizerSource source{
      .tokenizer = std::move(tokenizer), .chat_family = {}, .no_chat_reason = {}, .bos_token = {}, .eos_token = {}};
  const fs::path config_path = path.parent_path() / "tokenizer_config.json";
  SS_TRY(const std::optional<std::string> config, read_if_present(config_path));
  SS_TRY(const std::optional<std::string> jinja, read_if_present(path.parent_path() / kChatTemplateFile));
  SS_TRY_VOID(read_config(config, config_path.string(), jinja, source));
  return source;
}

Result<TokenizerSource> open_gguf(const fs::path& path) {
  SS_TRY(const MappedFile file, MappedFile::map(path));
  SS_TRY(const GgufHeader header, parse_gguf(file.bytes(), path.string()));
  Result<GgufVocabulary> vocabulary = gguf_vocabulary_of(header);
  if (!vocabulary) return vocabulary.error().with_context(path.string());
  SS_TRY(Tokenizer tokenizer, tokenizer_from_gguf(*vocabulary, path.string()));
  TokenizerSource source{
      .tokenizer = std::move(tokenizer), .chat_family = {}, .no_chat_reason = {}, .bos_token = {}, .eos_token = {}};
  const auto* jinja = header.find<std::string_view>("tokenizer.chat_template");
  recognise(jinja == nullptr ? std::optional<std::string>() : std::string(*jinja), source);
  const auto text_of = [&](const std::optional<std::int64_t>& id) -> std::optional<std::string> {
    if (!id) return std::nullopt;
    return vocabulary->tokens[static_cast<std::size_t>(*id)];  // tokenizer_from_gguf checked the id
  };
  source.bos_token = text_of(vocabulary->bos_id);
  source.eos_token = text_of(vocabulary->eos_id);
  return source;
}

Result<TokenizerSource> open_bundle(const fs::path& path, CommandContext& context) {
  SS_TRY(const Bundle bundle, Bundle::open(path, context.progress, context.interrupt));
  SS_TRY(const std::optional<std::string> json, bundle.tokenizer_json());
  if (!json)
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a tokenizer.json in it, found none", path.string())};
  SS_TRY(Tokenizer tokenizer, Tokenizer::from_json(*json, (path / "tokenizer.json").string()));
  TokenizerSource source{
      .tokenizer = std::move(tokenizer), .chat_family = {}, .no_chat_reason = {}, .bos_token = {}, .eos_token = {}};
  SS_TRY(const std::optional<std::string> config, bundle.tokenizer_config_json());
  SS_TRY(const std::optional<std::string> jinja, bundle.jinja_template());
  SS_TRY_VOID(read_config(config, (path / "tokenizer_config.json").string(), jinja, source));
  if (bundle.manifest() == nullptr) return source;
  // The chat template that the manifest names takes precedence over the one recognised from tokenizer_config.json.
  source.chat_family.reset();
  if (bundle.manifest()->chat_template == "none") {
    source.no_chat_reason = fmt::format("{}: its manifest names no chat template", path.string());
    return source;
  }
  SS_TRY(source.chat_family, chat_family_from_name(bundle.manifest()->chat_template));
  return source;
}

}  // namespace

Result<TokenizerSource> open_tokenizer(const fs::path& path, CommandContext& context) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    // A folder without a manifest may have a tokenizer but no weights.
    if (!path_exists(path / "manifest.yaml")) {
      const fs::path file = path / "tokenizer.json";
      if (!path_exists(file)) {
        if (const auto foreign = foreign_tokenizer(path)) return refuse_foreign(path, "tokenizer.json", *foreign);
      }
      return open_json(file);
    }
    return open_bundle(path, context);
  }
  SS_TRY(const std::string magic, read_magic(path));
  if (magic == "GGUF") return open_gguf(path);
  if (magic.starts_with("PK")) return open_bundle(path, context);
  return open_json(path);
}

}  // namespace secondsource
