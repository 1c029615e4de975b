#include "tokenizer/tokenizer_config.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/json_fields.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

/// Reads "<s>", or {"content": "<s>", ...} as in older files.
Result<std::optional<std::string>> read_token(const JsonFields& fields, std::string_view key) {
  const Json* value = fields.find(key);
  if (value == nullptr) return std::optional<std::string>();
  if (value->is_string()) return std::optional<std::string>(value->get<std::string>());
  SS_TRY(const JsonFields token, fields.object(key));
  SS_TRY(std::string content, token.string("content"));
  return std::optional<std::string>(std::move(content));
}

/// Reads a single template, or an array of {"name": ..., "template": ...}.
Result<std::optional<std::string>> read_template(const JsonFields& fields) {
  const Json* value = fields.find("chat_template");
  if (value == nullptr) return std::optional<std::string>();
  if (value->is_string()) return std::optional<std::string>(value->get<std::string>());
  if (!value->is_array()) return fields.mismatch("chat_template", "a string or an array");
  for (const Json& element : *value) {
    SS_TRY(const JsonFields named, JsonFields::of(element, fmt::format("{}: chat_template", fields.name())));
    SS_TRY(const std::string name, named.string("name"));
    if (name != "default") continue;
    SS_TRY(std::string text, named.string("template"));
    return std::optional<std::string>(std::move(text));
  }
  return std::optional<std::string>();
}

}  // namespace

Result<TokenizerConfig> parse_tokenizer_config(std::string_view json_text, std::string_view name_for_messages) {
  const std::string name(name_for_messages);
  SS_TRY(const Json document, parse_json(json_text, name, {.allow_duplicate_keys = true}));
  SS_TRY(const JsonFields fields, JsonFields::of(document, name));
  TokenizerConfig config;
  SS_TRY(config.bos_token, read_token(fields, "bos_token"));
  SS_TRY(config.eos_token, read_token(fields, "eos_token"));
  SS_TRY(config.chat_template, read_template(fields));
  return config;
}

}  // namespace secondsource
