#include "bundle/chat_family.h"

#include <array>
#include <nlohmann/json.hpp>

#include "core/json.h"

namespace secondsource {
namespace {

struct Marker {
  std::string_view family;
  std::string_view text;
};
// The first that occurs decides.
constexpr std::array kMarkers = {
    Marker{"chatml", "<|im_start|>"},   Marker{"llama3", "<|start_header_id|>"},
    Marker{"gemma", "<start_of_turn>"}, Marker{"phi", "<|assistant|>"},
    Marker{"llama2", "<<SYS>>"},        Marker{"mistral", "[INST]"},
};

}  // namespace

std::string chat_family_of_template(std::string_view jinja) {
  for (const Marker& marker : kMarkers) {
    if (jinja.find(marker.text) != std::string_view::npos) return std::string(marker.family);
  }
  return "none";
}

Result<std::string> chat_family_of_tokenizer_config(std::string_view text, std::string_view name) {
  SS_TRY(const nlohmann::json root, parse_json(text, name, {.allow_duplicate_keys = true}));
  if (!root.is_object()) return Error{ErrorCode::kInvalidInput, std::string(name) + ": expected an object"};
  const auto found = root.find("chat_template");
  if (found == root.end() || !found->is_string()) return std::string("none");
  return chat_family_of_template(found->get_ref<const std::string&>());
}

}  // namespace secondsource
