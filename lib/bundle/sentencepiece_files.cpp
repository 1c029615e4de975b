#include "bundle/sentencepiece_files.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "bundle/foreign_model.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/number.h"
#include "core/utf8.h"
#include "tokenizer/gguf_tokenizer_json.h"
#include "tokenizer/sentencepiece_model.h"

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

/// What tokenizer_config.json, or added_tokens.json in older folders, adds to the pieces.
Result<void> apply_settings(const ChatFileReader& read, const std::string& folder_name, GgufVocabulary& vocabulary) {
  SS_TRY(const std::optional<std::string> config_text, read(kConfigFile));
  LaterTokens later;
  if (config_text) {
    const std::string name = fmt::format("{}/{}", folder_name, kConfigFile);
    SS_TRY(const nlohmann::json document, parse_json(*config_text, name, {.allow_duplicate_keys = true}));
    SS_TRY(const JsonFields fields, JsonFields::of(document, name));
    // A null is the class's own default, which for these models is to begin with <s> and not to end with </s>.
    for (const auto& [key, setting] :
         {std::pair("add_bos_token", &vocabulary.add_bos), std::pair("add_eos_token", &vocabulary.add_eos)}) {
      if (!fields.has(key)) continue;
      SS_TRY(*setting, fields.boolean_or(key, false));
    }
    if (fields.has("added_tokens_decoder")) {
      SS_TRY(later, read_decoder(fields));
      return add_tokens_to(vocabulary, later, folder_name);
    }
  }
  SS_TRY(const std::optional<std::string> added_text, read(kAddedTokensFile));
  if (!added_text) return {};
  const std::string name = fmt::format("{}/{}", folder_name, kAddedTokensFile);
  SS_TRY(const nlohmann::json document, parse_json(*added_text, name, {}));
  SS_TRY(later, read_added_tokens(document, name));
  return add_tokens_to(vocabulary, later, folder_name);
}

/// Whether a file of this name is one of tiktoken (Llama 3 as Meta publishes it): lines of a token in base64 and its rank.
bool is_tiktoken(std::string_view content) {
  const std::string_view line = content.substr(0, content.find('\n'));
  const std::size_t space = line.find(' ');
  constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
  return space != std::string_view::npos && space % 4 == 0 && space > 0 &&
         line.substr(0, space).find_first_not_of(kBase64) == std::string_view::npos &&
         parse_number<std::int64_t>(line.substr(space + 1)).has_value();
}

}  // namespace

Result<std::optional<std::string>> tokenizer_json_of_sentencepiece(const ChatFileReader& read,
                                                                   const std::string& folder_name) {
  SS_TRY(const std::optional<std::string> content, read(kSentencePieceFile));
  if (!content) return std::optional<std::string>();
  const std::string name = fmt::format("{}/{}", folder_name, kSentencePieceFile);
  if (is_tiktoken(*content)) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("{}: expected a SentencePiece model, found {}", name, kTiktokenAdvice)};
  }
  SS_TRY(const SentencePieceModel model, parse_sentencepiece_model(*content, name));
  SS_TRY(GgufVocabulary vocabulary, sentencepiece_vocabulary(model, name));
  SS_TRY_VOID(apply_settings(read, folder_name, vocabulary));
  SS_TRY(std::string json, gguf_tokenizer_json(vocabulary, name));
  return std::optional(std::move(json));
}

}  // namespace secondsource
