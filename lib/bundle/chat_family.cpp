#include "bundle/chat_family.h"

#include <nlohmann/json.hpp>

#include "core/json.h"
#include "tokenizer/chat.h"

namespace secondsource {
std::string chat_family_of_template(std::string_view jinja) {
  const Result<ChatFamily> family = detect_chat_family(jinja);
  return family ? std::string(to_string(*family)) : "none";
}

Result<std::string> chat_family_of_tokenizer_config(std::string_view text, std::string_view name) {
  SS_TRY(const nlohmann::json root, parse_json(text, name, {.allow_duplicate_keys = true}));
  if (!root.is_object()) return Error{ErrorCode::kInvalidInput, std::string(name) + ": expected an object"};
  const auto found = root.find("chat_template");
  if (found == root.end() || !found->is_string()) return std::string("none");
  return chat_family_of_template(found->get_ref<const std::string&>());
}

}  // namespace secondsource
