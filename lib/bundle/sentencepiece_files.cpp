#include "bundle/sentencepiece_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "bundle/tiktoken_files.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/number.h"
#include "core/utf8.h"
#include "tokenizer/gguf_tokenizer_json.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/tiktoken_file.h"

namespace secondsource {
namespace {

constexpr std::string_view kConfigFile = "tokenizer_config.json";
constexpr std::string_view kAddedTokensFile = "added_tokens.json";
// GgufVocabulary::token_types.
constexpr std::int32_t kControlPiece = 3;
constexpr std::int32_t kUserDefinedPiece = 4;

struct LaterToken {
  std::string text;
  bool is_special = false;
};
using LaterTokens = std::map<std::int64_t, LaterToken>;

/// added_tokens_decoder: {"32000": {"content": "<pad>", "special": true, ...}, ...}.
Result<LaterTokens> read_decoder(const JsonFields& fields) {
  LaterTokens tokens;
  SS_TRY(const JsonFields entries, fields.object("added_tokens_decoder"));
  for (const auto& [key, value] : fields.find("added_tokens_decoder")->items()) {
    const auto id = parse_number<std::int64_t>(key);
    if (!id || *id < 0) return entries.mismatch(key, "a token id as its key");
    SS_TRY(const JsonFields token, JsonFields::of(value, fmt::format("{}: {}", entries.name(), key)));
    SS_TRY(tokens[*id].text, token.string("content"));
    SS_TRY(tokens[*id].is_special, token.boolean_or("special", false));
  }
  return tokens;
}

/// added_tokens.json: {"<pad>": 32000, ...}.
Result<LaterTokens> read_added_tokens(const nlohmann::json& document, const std::string& name) {
  LaterTokens tokens;
  SS_TRY(const JsonFields fields, JsonFields::of(document, name));
  for (const auto& [text, value] : document.items()) {
    if (!value.is_number_integer() || value.get<std::int64_t>() < 0) return fields.mismatch(text, "a token id");
    tokens[value.get<std::int64_t>()] = {text, true};
  }
  return tokens;
}

/// Appends the tokens whose ids follow those of the pieces; one that is a piece already only becomes an added token.
Result<void> add_tokens_to(GgufVocabulary& vocabulary, const LaterTokens& later, const std::string& folder_name) {
  for (const auto& [id, token] : later) {
    const auto n_tokens = static_cast<std::int64_t>(vocabulary.tokens.size());
    if (token.text.empty() || find_invalid_utf8(token.text)) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: added token {}: expected a text in UTF-8", folder_name, id)};
    }
    const std::int32_t type = token.is_special ? kControlPiece : kUserDefinedPiece;
    if (id < n_tokens) {
      const auto index = static_cast<std::size_t>(id);
      if (vocabulary.tokens[index] != token.text) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("{}: added token {}: expected the piece {}, found {}", folder_name, id,
                                 in_quotes(vocabulary.tokens[index]), in_quotes(token.text))};
      }
      if (vocabulary.token_types[index] == 1) vocabulary.token_types[index] = type;
      continue;
    }
    if (id > n_tokens) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: added token {}: expected {} to come first, since ids have no gaps", folder_name, id,
                               n_tokens)};
    }
    vocabulary.tokens.push_back(token.text);
    vocabulary.scores.push_back(0.0F);
    vocabulary.token_types.push_back(type);
  }
  return {};
}

// Classes of transformers (5.23, convert_slow_tokenizer.py) for which the model alone is not the tokenizer: they give the pieces
// other ids, or lower, unaccent or cut the text first.
constexpr std::array<std::string_view, 19> kClassesOfTheirOwn = {
    "AlbertTokenizer",      "BarthezTokenizer", "BigBirdTokenizer",    "CamembertTokenizer", "CpmTokenizer",
    "DebertaV2Tokenizer",   "FNetTokenizer",    "LayoutXLMTokenizer",  "M2M100Tokenizer",    "MBart50Tokenizer",
    "MBartTokenizer",       "MarianTokenizer",  "NllbTokenizer",       "PegasusTokenizer",   "RemBertTokenizer",
    "SeamlessM4TTokenizer", "XGLMTokenizer",    "XLMRobertaTokenizer", "XLNetTokenizer"};

/// The class of transformers that reads the folder, without the "Fast" of its second form; empty if none is named.
Result<std::string> read_class(const JsonFields& config) {
  SS_TRY(std::string name, config.string_or("tokenizer_class", ""));
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  if (std::ranges::find(kClassesOfTheirOwn, name) == kClassesOfTheirOwn.end()) return name;
  return Error{
      ErrorCode::kUnsupported,
      fmt::format(
          "{}: tokenizer_class: expected one that takes ids and text as the SentencePiece model has them, found "
          "{}; write tokenizer.json with AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) of "
          "transformers",
          config.name(), name)};
}

/// Appends T5's tokens <extra_id_99> ... <extra_id_0>, whose ids follow those of the pieces.
Result<void> add_extra_ids(const JsonFields& config, GgufVocabulary& vocabulary) {
  constexpr std::int64_t kMostExtraIds = 1000;
  SS_TRY(const std::int64_t n_extra, config.integer_or("extra_ids", 100, {.min = 0, .max = kMostExtraIds}));
  for (std::int64_t i = n_extra - 1; i >= 0; --i) {
    vocabulary.tokens.push_back(fmt::format("<extra_id_{}>", i));
    vocabulary.scores.push_back(0.0F);
    vocabulary.token_types.push_back(kControlPiece);
  }
  return {};
}

/// Applies what tokenizer_config.json says about the tokens around a text, and its added tokens. `has_tokens` becomes
/// true if it lists any.
Result<void> apply_config(const std::string& text, const std::string& name, const std::string& folder_name,
                          GgufVocabulary& vocabulary, bool& has_tokens) {
  SS_TRY(const nlohmann::json document, parse_json(text, name, {.allow_duplicate_keys = true}));
  SS_TRY(const JsonFields fields, JsonFields::of(document, name));
  SS_TRY(const std::string tokenizer_class, read_class(fields));
  const bool is_t5 = tokenizer_class == "T5Tokenizer";
  if (is_t5) {
    vocabulary.add_bos = false;
    vocabulary.add_eos = true;
  }
  // A null means the class's own default: to begin with <s> and not to end with </s>, except for T5.
  for (const auto& [key, setting] :
       {std::pair("add_bos_token", &vocabulary.add_bos), std::pair("add_eos_token", &vocabulary.add_eos)}) {
    if (!fields.has(key)) continue;
    SS_TRY(*setting, fields.boolean_or(key, false));
  }
  has_tokens = fields.has("added_tokens_decoder");
  if (has_tokens) {
    SS_TRY(const LaterTokens later, read_decoder(fields));
    return add_tokens_to(vocabulary, later, folder_name);
  }
  return is_t5 ? add_extra_ids(fields, vocabulary) : Result<void>();
}

/// Applies what tokenizer_config.json, or added_tokens.json in older folders, adds to the pieces.
Result<void> apply_settings(const ChatFileReader& read, const std::string& folder_name, GgufVocabulary& vocabulary) {
  SS_TRY(const std::optional<std::string> config_text, read(kConfigFile));
  bool has_tokens = false;
  if (config_text) {
    const std::string name = fmt::format("{}/{}", folder_name, kConfigFile);
    SS_TRY_VOID(apply_config(*config_text, name, folder_name, vocabulary, has_tokens));
  }
  SS_TRY(const std::optional<std::string> added_text, read(kAddedTokensFile));
  if (has_tokens || !added_text) return {};
  const std::string name = fmt::format("{}/{}", folder_name, kAddedTokensFile);
  SS_TRY(const nlohmann::json document, parse_json(*added_text, name, {}));
  SS_TRY(const LaterTokens later, read_added_tokens(document, name));
  return add_tokens_to(vocabulary, later, folder_name);
}

struct ModelFile {
  std::string_view name;
  std::string content;
};

/// The first file under a name that a tokenizer's model may have; nullopt if there is none.
Result<std::optional<ModelFile>> find_model_file(const ChatFileReader& read) {
  for (const std::string_view name : kTokenizerModelFiles) {
    SS_TRY(std::optional<std::string> content, read(name));
    if (content) return std::optional(ModelFile{name, *std::move(content)});
  }
  return std::optional<ModelFile>();
}

Result<GgufVocabulary> vocabulary_of_sentencepiece(std::string_view content, const std::string& name) {
  SS_TRY(const SentencePieceModel model, parse_sentencepiece_model(content, name));
  return sentencepiece_vocabulary(model, name);
}

}  // namespace

Result<std::optional<std::string>> tokenizer_json_of_sentencepiece(const ChatFileReader& read,
                                                                   const std::string& folder_name) {
  SS_TRY(const std::optional<ModelFile> file, find_model_file(read));
  if (!file) return std::optional<std::string>();
  const std::string name = fmt::format("{}/{}", folder_name, file->name);
  // Llama 3 publishes its tiktoken file under SentencePiece's name.
  const bool is_tiktoken = is_tiktoken_file(file->content) || file->name.ends_with(".tiktoken");
  SS_TRY(GgufVocabulary vocabulary, is_tiktoken ? tiktoken_vocabulary_of(read, folder_name, file->content, name)
                                                : vocabulary_of_sentencepiece(file->content, name));
  SS_TRY_VOID(apply_settings(read, folder_name, vocabulary));
  if (is_tiktoken) SS_TRY_VOID(set_first_and_last_token(read, folder_name, vocabulary));
  SS_TRY(std::string json, gguf_tokenizer_json(vocabulary, name));
  return std::optional(std::move(json));
}

}  // namespace secondsource
