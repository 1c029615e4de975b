#include "tokenizer/tokenizer_config.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/json_fields.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 7> kSpecialTokens = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                            "pad_token", "cls_token", "mask_token"};

/// Reads "<s>", or {"content": "<s>", ...} as in older files.
Result<std::string> read_token(const JsonFields& fields, std::string_view key) {
  if (const Json* value = fields.find(key); value->is_string()) return value->get<std::string>();
  SS_TRY(const JsonFields token, fields.object(key));
  return token.string("content");
}

/// Reads a single template, or an array of {"name": ..., "template": ...}.
Result<void> read_templates(const JsonFields& fields, TokenizerConfig& config) {
  const Json* value = fields.find("chat_template");
  if (value == nullptr) return {};
  if (value->is_string()) {
    config.chat_templates["default"] = value->get<std::string>();
    return {};
  }
  if (!value->is_array()) return fields.mismatch("chat_template", "a string or an array");
  for (const Json& element : *value) {
    SS_TRY(const JsonFields named, JsonFields::of(element, fmt::format("{}: chat_template", fields.name())));
    SS_TRY(const std::string name, named.string("name"));
    SS_TRY(config.chat_templates[name], named.string("template"));
  }
  return {};
}

}  // namespace

Result<TokenizerConfig> parse_tokenizer_config(std::string_view json_text, std::string_view name_for_messages) {
  const std::string name(name_for_messages);
  SS_TRY(const Json document, parse_json(json_text, name, {.allow_duplicate_keys = true}));
  SS_TRY(const JsonFields fields, JsonFields::of(document, name));
  TokenizerConfig config;
  for (const std::string_view token : kSpecialTokens) {
    if (!fields.has(token)) continue;
    SS_TRY(config.special_tokens[std::string(token)], read_token(fields, token));
  }
  SS_TRY_VOID(read_templates(fields, config));
  return config;
}

}  // namespace secondsource
