#include "tokenizer_source.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "bundle/bundle.h"
#include "bundle/chat_files.h"
#include "bundle/file_kind.h"
#include "bundle/foreign_model.h"
#include "bundle/gguf.h"
#include "bundle/gguf_tokenizer.h"
#include "bundle/sentencepiece_files.h"
#include "core/file.h"
#include "core/folder.h"
#include "installed_data.h"

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

/// The tokenizer that a tokenizer.json describes, with the files of the chat template beside `path`, if they exist.
Result<TokenizerSource> from_json_text(std::string_view text, const fs::path& path) {
  SS_TRY(Tokenizer tokenizer, Tokenizer::from_json(text, path.string()));
  TokenizerSource source{.tokenizer = std::move(tokenizer), .chat = {}};
  const fs::path folder = path.parent_path();
  SS_TRY(const std::vector<std::string> more_files, more_template_files(folder));
  SS_TRY(source.chat, model_chat_templates(reader_of(folder), more_files, folder.string()));
  return source;
}

Result<TokenizerSource> open_json(const fs::path& path) {
  SS_TRY(const std::string text, read_file(path));
  return from_json_text(text, path);
}

/// Opens SentencePiece's tokenizer.model of a folder; nullopt if it has none.
Result<std::optional<TokenizerSource>> open_sentencepiece(const fs::path& folder) {
  SS_TRY(const std::optional<std::string> json, tokenizer_json_of_sentencepiece(reader_of(folder), folder.string()));
  if (!json) return std::optional<TokenizerSource>();
  SS_TRY(TokenizerSource source, from_json_text(*json, folder / kSentencePieceFile));
  return std::optional(std::move(source));
}

/// The templates of a GGUF file: tokenizer.chat_template, and tokenizer.chat_template.NAME for others.
void take_templates(const GgufHeader& header, ChatTemplateSource& chat) {
  constexpr std::string_view kKey = "tokenizer.chat_template";
  for (const auto& [key, value] : header.metadata) {
    const auto* text = header.find<std::string_view>(key);
    if (text == nullptr || !key.starts_with(kKey)) continue;
    const std::string_view rest = std::string_view(key).substr(kKey.size());
    if (rest.empty()) chat.templates["default"] = *text;
    if (rest.starts_with('.')) chat.templates[std::string(rest.substr(1))] = *text;
  }
}

Result<TokenizerSource> open_gguf(const fs::path& path) {
  SS_TRY(const MappedFile file, MappedFile::map(path));
  SS_TRY(const GgufHeader header, parse_gguf(file.bytes(), path.string()));
  Result<GgufVocabulary> vocabulary = gguf_vocabulary_of(header);
  if (!vocabulary) return vocabulary.error().with_context(path.string());
  SS_TRY(Tokenizer tokenizer, tokenizer_from_gguf(*vocabulary, path.string()));
  TokenizerSource source{.tokenizer = std::move(tokenizer), .chat = {}};
  source.chat.name = path.string() + ": tokenizer.chat_template";
  take_templates(header, source.chat);
  const auto take_token = [&](const char* name, const std::optional<std::int64_t>& id) {
    // tokenizer_from_gguf checked the id.
    if (id) source.chat.special_tokens[name] = vocabulary->tokens[static_cast<std::size_t>(*id)];
  };
  take_token("bos_token", vocabulary->bos_id);
  take_token("eos_token", vocabulary->eos_id);
  return source;
}

Result<TokenizerSource> open_bundle(const fs::path& path, CommandContext& context) {
  SS_TRY(const Bundle bundle, Bundle::open(path, context.progress, context.interrupt));
  SS_TRY(const std::optional<std::string> json, bundle.tokenizer_json());
  if (!json)
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a tokenizer.json in it, found none", path.string())};
  SS_TRY(Tokenizer tokenizer, Tokenizer::from_json(*json, (path / "tokenizer.json").string()));
  TokenizerSource source{.tokenizer = std::move(tokenizer), .chat = {}};
  SS_TRY(std::optional<ChatTemplateSource> chat, bundle.chat_template());
  if (chat) {
    source.chat = *std::move(chat);
  } else {
    SS_TRY(source.chat.special_tokens, special_tokens(reader_of(bundle.folder()), path.string()));
  }
  return source;
}

}  // namespace

Result<TokenizerSource> open_tokenizer(const fs::path& named, CommandContext& context) {
  SS_TRY(const fs::path path, bundle_path(named, context.program));
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    // A folder without a manifest may have a tokenizer but no weights.
    if (!path_exists(path / "manifest.yaml")) {
      const fs::path file = path / "tokenizer.json";
      if (!path_exists(file)) {
        SS_TRY(std::optional<TokenizerSource> source, open_sentencepiece(path));
        if (source) return *std::move(source);
        if (const auto foreign = foreign_tokenizer(path)) return refuse_foreign(path, "tokenizer.json", *foreign);
      }
      return open_json(file);
    }
    return open_bundle(path, context);
  }
  if (path.filename() == kSentencePieceFile) {
    SS_TRY(std::optional<TokenizerSource> source, open_sentencepiece(path.parent_path()));
    if (source) return *std::move(source);
  }
  SS_TRY(const std::string magic, read_magic(path));
  if (magic == "GGUF") return open_gguf(path);
  if (magic.starts_with("PK")) return open_bundle(path, context);
  // A safetensors file begins with a length, whose first byte may be that of "{".
  if (!magic.starts_with("{") || path.extension() == ".safetensors") {
    if (const std::string kind = known_as_no_bundle(path); !kind.empty()) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("{}: expected a bundle, a Hugging Face folder, a tokenizer.json or a GGUF file; found {}",
                      path.string(), kind)};
    }
  }
  return open_json(path);
}

}  // namespace secondsource
