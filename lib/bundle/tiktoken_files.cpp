#include "bundle/tiktoken_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "bundle/foreign_model.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/utf8.h"
#include "tokenizer/tiktoken_file.h"

namespace secondsource {
namespace {

struct Family {
  std::string_view model_type;  ///< of config.json
  std::size_t n_tokens = 0;     ///< in the file; a family that changes its vocabulary may change its pattern, too
  std::string_view pre;         ///< the name of the pattern (gguf_pre_tokenizer.h)
};
constexpr std::array kFamilies = {
    Family{"llama", 128000, "llama-bpe"},  // Llama 3
    Family{"qwen", 151643, "qwen2"},       // Qwen
    Family{"qwen2", 151643, "qwen2"},      // and its successors with the same vocabulary
    Family{"gpt_oss", 199998, "gpt-4o"},   // o200k_harmony
    Family{"phi3small", 100256, "dbrx"},   // cl100k_base
};

/// An object of a JSON file of the folder; an empty one if the file is absent.
Result<nlohmann::json> read_object(const ChatFileReader& read, std::string_view file, const std::string& name) {
  SS_TRY(const std::optional<std::string> text, read(file));
  if (!text) return nlohmann::json::object();
  return parse_json(*text, name, {.allow_duplicate_keys = true});
}

/// `model_type` of config.json; empty if the file or the key is absent.
Result<std::string> model_type_of(const ChatFileReader& read, const std::string& folder_name) {
  const std::string name = fmt::format("{}/config.json", folder_name);
  SS_TRY(const nlohmann::json config, read_object(read, "config.json", name));
  SS_TRY(const JsonFields fields, JsonFields::of(config, name));
  return fields.string_or("model_type", "");
}

Result<bool> lists_added_tokens(const ChatFileReader& read, const std::string& folder_name) {
  const std::string name = fmt::format("{}/tokenizer_config.json", folder_name);
  SS_TRY(const nlohmann::json config, read_object(read, "tokenizer_config.json", name));
  SS_TRY(const JsonFields fields, JsonFields::of(config, name));
  return fields.has("added_tokens_decoder");
}

}  // namespace

Result<GgufVocabulary> tiktoken_vocabulary_of(const ChatFileReader& read, const std::string& folder_name,
                                              std::string_view content, const std::string& name) {
  const auto unsupported = [&](std::string_view what) {
    return Error{ErrorCode::kUnsupported, fmt::format("{}: {}", name, what)};
  };
  SS_TRY(const std::string model_type, model_type_of(read, folder_name));
  const auto* family = std::ranges::find(kFamilies, model_type, &Family::model_type);
  if (family == kFamilies.end()) {
    return unsupported(fmt::format("expected a family whose pattern is known, found model_type {} and {}",
                                   in_quotes(model_type), kTiktokenAdvice));
  }
  SS_TRY(const std::vector<std::string> tokens, parse_tiktoken_file(content, name));
  if (tokens.size() != family->n_tokens) {
    return unsupported(fmt::format("expected the {} tokens for which the pattern of {} is known, found {}",
                                   family->n_tokens, model_type, tokens.size()));
  }
  SS_TRY(const bool has_added_tokens, lists_added_tokens(read, folder_name));
  if (!has_added_tokens) {
    return unsupported(
        "expected added_tokens_decoder in tokenizer_config.json, because a tiktoken file has no special tokens");
  }
  return tiktoken_vocabulary(tokens, family->pre, name);
}

Result<void> set_first_and_last_token(const ChatFileReader& read, const std::string& folder_name,
                                      GgufVocabulary& vocabulary) {
  SS_TRY(const auto names, special_tokens(read, folder_name));
  for (const auto& [key, id] :
       {std::pair("bos_token", &vocabulary.bos_id), std::pair("eos_token", &vocabulary.eos_id)}) {
    const auto text = names.find(std::string_view(key));
    if (text == names.end()) continue;
    const auto token = std::ranges::find(vocabulary.tokens, text->second);
    if (token != vocabulary.tokens.end()) *id = token - vocabulary.tokens.begin();
  }
  return {};
}

}  // namespace secondsource
