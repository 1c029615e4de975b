#include "tokenizer/chat.h"

#include <fmt/format.h>

#include <array>
#include <string>

#include "core/hash.h"
#include "core/utf8.h"
#include "tokenizer/known_templates.h"

namespace secondsource {
namespace {

struct FamilyName {
  ChatFamily family;
  std::string_view name;
};

constexpr std::array kFamilyNames = {
    FamilyName{ChatFamily::kChatMl, "chatml"},
    FamilyName{ChatFamily::kQwen2, "qwen2"},
    FamilyName{ChatFamily::kQwen25, "qwen2.5"},
    FamilyName{ChatFamily::kQwen3, "qwen3"},
    FamilyName{ChatFamily::kSmolLm2, "smollm2"},
    FamilyName{ChatFamily::kLlama2, "llama2"},
    FamilyName{ChatFamily::kLlama2Untrimmed, "llama2-untrimmed"},
    FamilyName{ChatFamily::kLlama3, "llama3"},
    FamilyName{ChatFamily::kLlama31, "llama3.1"},
    FamilyName{ChatFamily::kMistralV01, "mistral-v0.1"},
    FamilyName{ChatFamily::kMistralV1, "mistral-v1"},
    FamilyName{ChatFamily::kMistralV3, "mistral-v3"},
    FamilyName{ChatFamily::kMistralV3Tekken, "mistral-v3-tekken"},
    FamilyName{ChatFamily::kMistralV7, "mistral-v7"},
    FamilyName{ChatFamily::kGemma, "gemma"},
    FamilyName{ChatFamily::kGemma3, "gemma3"},
    FamilyName{ChatFamily::kPhi3, "phi3"},
    FamilyName{ChatFamily::kPhi35, "phi3.5"},
    FamilyName{ChatFamily::kPhi3Small, "phi3-small"},
    FamilyName{ChatFamily::kPhi3Vision, "phi3-vision"},
    FamilyName{ChatFamily::kPhi4, "phi4"},
    FamilyName{ChatFamily::kPhi4Mini, "phi4-mini"},
};

constexpr std::array kAliases = {
    FamilyName{ChatFamily::kMistralV1, "mistral"},
    FamilyName{ChatFamily::kPhi3, "phi"},
    FamilyName{ChatFamily::kQwen25, "qwen"},
};

}  // namespace

std::string_view to_string(ChatFamily family) {
  for (const FamilyName& entry : kFamilyNames) {
    if (entry.family == family) return entry.name;
  }
  return "unknown";
}

Result<ChatFamily> chat_family_from_name(std::string_view name) {
  std::string names;
  for (const FamilyName& entry : kFamilyNames) {
    if (entry.name == name) return entry.family;
    names.append(names.empty() ? "" : ", ").append(entry.name);
  }
  for (const FamilyName& entry : kAliases) {
    if (entry.name == name) return entry.family;
  }
  return Error{ErrorCode::kUnsupported,
               fmt::format("chat template \"{}\": expected one of {}", printable(name.substr(0, 80)), names)};
}

Result<ChatFamily> detect_chat_family(std::string_view jinja_template) {
  const std::string hash = sha256_hex(jinja_template);
  for (const tokenizer::KnownTemplate& known : tokenizer::known_templates()) {
    if (known.sha256 == hash) return chat_family_from_name(known.family);
  }
  return Error{
      ErrorCode::kUnsupported,
      fmt::format("chat template \"{}...\" (SHA-256 {}): expected exactly that of a known family, found another",
                  printable(jinja_template.substr(0, 60)), hash)};
}

}  // namespace secondsource
