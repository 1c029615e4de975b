#include "tokenizer/chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include "core/utf8.h"

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
    FamilyName{ChatFamily::kPhi3Small, "phi3-small"},
    FamilyName{ChatFamily::kPhi4, "phi4"},
    FamilyName{ChatFamily::kPhi4Mini, "phi4-mini"},
};

constexpr std::array kAliases = {
    FamilyName{ChatFamily::kMistralV1, "mistral"},
    FamilyName{ChatFamily::kPhi3, "phi"},
    FamilyName{ChatFamily::kQwen25, "qwen"},
};

/// A template belongs to the family if it contains all texts of `present` and none of `absent`.
struct Fingerprint {
  ChatFamily family;
  std::vector<std::string_view> present;
  std::vector<std::string_view> absent;
};

std::vector<Fingerprint> fingerprints() {
  using F = ChatFamily;
  // Templates with "strftime_now" are always refused, because their prompts change every day.
  return {
      {F::kPhi4, {"<|im_start|>", "<|im_sep|>", "add_generation_prompt"}, {"bos_token", "strftime_now", "Dialog"}},
      {F::kQwen25, {"<|im_start|>", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."}, {}},
      {F::kQwen3, {"<|im_start|>", "last_query_index", "reasoning_content", "</think>"}, {"bos_token"}},
      {F::kSmolLm2,
       {"<|im_start|>", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
       {"<think>"}},
      {F::kQwen2,
       {"<|im_start|>system\\nYou are a helpful assistant.<|im_end|>", "messages[0]['role'] != 'system'"},
       {}},
      {F::kQwen2,
       {"<|im_start|>system\nYou are a helpful assistant.<|im_end|>", "messages[0]['role'] != 'system'"},
       {}},
      {F::kChatMl,
       {"<|im_start|>", "<|im_end|>"},
       {"<|im_start|>system", "<|im_sep|>", "bos_token", "<think>", "raise_exception", "strftime_now", "trim", "tool"}},
      {F::kLlama31, {"<|start_header_id|>", "Cutting Knowledge Date", "26 Jul 2024"}, {"strftime_now"}},
      {F::kLlama3,
       {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "trim"},
       {"Cutting Knowledge Date", "strftime_now", "<|start_header_id|>system"}},
      {F::kGemma3, {"<start_of_turn>", "<end_of_turn>", "first_user_prefix"}, {}},
      {F::kGemma, {"<start_of_turn>", "<end_of_turn>", "System role not supported"}, {}},
      {F::kMistralV7, {"[INST] ", "[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"}, {"strftime_now"}},
      {F::kMistralV3, {"[AVAILABLE_TOOLS] [", "\"[INST] \" + message[\"content\"] + \"[/INST]\"", "trim"}, {}},
      {F::kMistralV3Tekken,
       {"[AVAILABLE_TOOLS][", "\"[INST]\" + message[\"content\"] + \"[/INST]\""},
       {"[SYSTEM_PROMPT]"}},
      {F::kLlama2, {"[INST] ", "<<SYS>>", "strip()", "bos_token + '[INST] '"}, {}},
      {F::kLlama2Untrimmed, {"[INST] ", "<<SYS>>", "idx > 1"}, {"strip()", "trim"}},
      {F::kMistralV01,
       {"'[INST] ' + message['content'] + ' [/INST]'", "message['content'] + eos_token + ' '"},
       {"<<SYS>>"}},
      {F::kMistralV1,
       {"'[INST] ' + message['content'] + ' [/INST]'", "Only user and assistant roles are supported!"},
       {"<<SYS>>", "eos_token + ' '", "' ' + message['content']"}},
      {F::kPhi3, {"<|assistant|>\n", "<|end|>\n"}, {"bos_token", "raise_exception", "strip", "trim", "tools"}},
      {F::kPhi3, {"<|assistant|>\\n", "<|end|>\\n"}, {"bos_token", "raise_exception", "strip", "trim", "tools"}},
      {F::kPhi3Small,
       {"{{ bos_token }}", "'<|' + message['role'] + '|>' + '\n' + message['content'] + '<|end|>\n'"},
       {"tools"}},
      {F::kPhi3Small,
       {"{{ bos_token }}", "'<|' + message['role'] + '|>' + '\\n' + message['content'] + '<|end|>\\n'"},
       {"tools"}},
      {F::kPhi4Mini, {"<|assistant|>", "'<|end|>'", "<|tool|>"}, {"<|end|>\n", "<|end|>\\n"}},
  };
}

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
  const auto has = [&](std::string_view text) { return jinja_template.find(text) != std::string_view::npos; };
  for (const Fingerprint& fingerprint : fingerprints()) {
    if (std::all_of(fingerprint.present.begin(), fingerprint.present.end(), has) &&
        std::none_of(fingerprint.absent.begin(), fingerprint.absent.end(), has)) {
      return fingerprint.family;
    }
  }
  return Error{ErrorCode::kUnsupported,
               fmt::format("chat template \"{}...\": expected that of a known family, found another",
                           printable(jinja_template.substr(0, 60)))};
}

}  // namespace secondsource
