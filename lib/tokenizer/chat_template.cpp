#include "tokenizer/chat_template.h"

#include <fmt/format.h>

#include <utility>
#include <variant>
#include <vector>

#include "core/utf8.h"
#include "tokenizer/unicode.h"

namespace secondsource {
namespace {

enum class SystemPlace {
  kOwnTurn,    // a turn like any other, at any position
  kFirstUser,  // before the first user message
  kLastUser,   // before the last message, if it is from the user
  kRefused,
};

/// Every message is rendered as open + role + middle + content + close.
struct TurnFormat {
  std::string_view bos = {};
  std::string_view open = {};
  std::string_view middle = {};
  std::string_view close = {};
  std::string_view assistant = "assistant";
  std::string_view default_system = {};                 // system turn for a conversation that begins without one
  std::string_view system_header = {};                  // text before the system message, written even if there is none
  std::string_view end_without_generation_prompt = {};  // written for eos_token
  SystemPlace system = SystemPlace::kOwnTurn;
  bool trims = false;
  bool alternates = false;
  bool handles_thoughts = false;
  bool skips_empty_system = false;
  bool opens_answer_after_answer = true;  // the generation prompt is written after a last message of the assistant too
};

/// User messages are in brackets, each followed by an answer; end-of-text follows the answers.
struct InstFormat {
  std::string_view open = "[INST] ";
  std::string_view close = " [/INST]";
  std::string_view assistant_prefix = {};
  std::string_view before_eos = {};
  std::string_view after_eos = {};
  std::string_view system_open = {};
  std::string_view system_close = {};
  SystemPlace system = SystemPlace::kRefused;
  bool trims_user = false;
  bool trims_assistant = false;
  bool alternates = true;
  bool bos_at_each_user = false;
  bool opens_first_turn = true;
};

using Format = std::variant<TurnFormat, InstFormat>;

constexpr TurnFormat kChatMl{.open = "<|im_start|>", .middle = "\n", .close = "<|im_end|>\n"};

constexpr TurnFormat chatml_with_system(std::string_view default_system) {
  TurnFormat format = kChatMl;
  format.default_system = default_system;
  return format;
}

constexpr TurnFormat qwen3() {
  TurnFormat format = kChatMl;
  format.handles_thoughts = true;
  return format;
}

constexpr TurnFormat kLlama3{.bos = "<|begin_of_text|>",
                             .open = "<|start_header_id|>",
                             .middle = "<|end_header_id|>\n\n",
                             .close = "<|eot_id|>",
                             .trims = true};

constexpr TurnFormat llama31() {
  TurnFormat format = kLlama3;
  format.system_header = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
  return format;
}

constexpr TurnFormat gemma(SystemPlace system) {
  return {.bos = "<bos>",
          .open = "<start_of_turn>",
          .middle = "\n",
          .close = "<end_of_turn>\n",
          .assistant = "model",
          .system = system,
          .trims = true,
          .alternates = true};
}

constexpr TurnFormat kPhi3{
    .open = "<|", .middle = "|>\n", .close = "<|end|>\n", .end_without_generation_prompt = "<|endoftext|>"};

constexpr TurnFormat phi35() {
  TurnFormat format = kPhi3;
  format.skips_empty_system = true;
  return format;
}

constexpr TurnFormat phi3_small() {
  TurnFormat format = kPhi3;
  format.bos = "<|endoftext|>";
  return format;
}

constexpr TurnFormat phi3_vision() {
  TurnFormat format = kPhi3;
  format.end_without_generation_prompt = {};
  format.opens_answer_after_answer = false;
  return format;
}

constexpr InstFormat kLlama2{.assistant_prefix = " ",
                             .before_eos = " ",
                             .system_open = "<<SYS>>\n",
                             .system_close = "\n<</SYS>>\n\n",
                             .system = SystemPlace::kFirstUser,
                             .trims_user = true,
                             .trims_assistant = true,
                             .bos_at_each_user = true};

constexpr InstFormat llama2_untrimmed() {
  InstFormat format = kLlama2;
  format.system_open = "[INST] <<SYS>>\n";
  format.system = SystemPlace::kOwnTurn;
  format.trims_user = false;
  format.trims_assistant = false;
  format.alternates = false;
  format.opens_first_turn = false;
  return format;
}

Format format_of(ChatFamily family) {
  switch (family) {
    case ChatFamily::kChatMl:
      return kChatMl;
    case ChatFamily::kQwen2:
      return chatml_with_system("You are a helpful assistant.");
    case ChatFamily::kQwen25:
      return chatml_with_system("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.");
    case ChatFamily::kQwen3:
      return qwen3();
    case ChatFamily::kSmolLm2:
      return chatml_with_system("You are a helpful AI assistant named SmolLM, trained by Hugging Face");
    case ChatFamily::kLlama2:
      return kLlama2;
    case ChatFamily::kLlama2Untrimmed:
      return llama2_untrimmed();
    case ChatFamily::kLlama3:
      return kLlama3;
    case ChatFamily::kLlama31:
      return llama31();
    case ChatFamily::kMistralV01:
      return InstFormat{.after_eos = " "};
    case ChatFamily::kMistralV1:
      return InstFormat{};
    case ChatFamily::kMistralV3:
      return InstFormat{.close = "[/INST]",
                        .assistant_prefix = " ",
                        .system_close = "\n\n",
                        .system = SystemPlace::kLastUser,
                        .trims_assistant = true};
    case ChatFamily::kMistralV3Tekken:
      return InstFormat{.open = "[INST]", .close = "[/INST]", .system_close = "\n\n", .system = SystemPlace::kLastUser};
    case ChatFamily::kMistralV7:
      return InstFormat{.close = "[/INST]",
                        .assistant_prefix = " ",
                        .system_open = "[SYSTEM_PROMPT] ",
                        .system_close = "[/SYSTEM_PROMPT]",
                        .system = SystemPlace::kOwnTurn,
                        .alternates = false};
    case ChatFamily::kGemma:
      return gemma(SystemPlace::kRefused);
    case ChatFamily::kGemma3:
      return gemma(SystemPlace::kFirstUser);
    case ChatFamily::kPhi3:
      return kPhi3;
    case ChatFamily::kPhi35:
      return phi35();
    case ChatFamily::kPhi3Small:
      return phi3_small();
    case ChatFamily::kPhi3Vision:
      return phi3_vision();
    case ChatFamily::kPhi4:
      return TurnFormat{.open = "<|im_start|>", .middle = "<|im_sep|>", .close = "<|im_end|>"};
    case ChatFamily::kPhi4Mini:
      return TurnFormat{
          .open = "<|", .middle = "|>", .close = "<|end|>", .end_without_generation_prompt = "<|endoftext|>"};
  }
  return kChatMl;
}

/// True for what Python's str.strip() removes, and with it Jinja's trim: Unicode's white space and four separators.
bool is_stripped(char32_t code_point) {
  return tokenizer::is_whitespace(code_point) || (code_point >= 0x1c && code_point <= 0x1f);
}

std::string_view trimmed(std::string_view text) {
  std::size_t begin = 0;
  std::size_t end = text.size();
  while (begin < end && is_stripped(tokenizer::character_at(text, begin).code_point)) {
    begin += tokenizer::character_at(text, begin).length;
  }
  while (end > begin && is_stripped(tokenizer::character_before(text, end).code_point)) {
    end -= tokenizer::character_before(text, end).length;
  }
  return text.substr(begin, end - begin);
}

std::string_view without(std::string_view text, char edge) {
  while (text.starts_with(edge)) text.remove_prefix(1);
  while (text.ends_with(edge)) text.remove_suffix(1);
  return text;
}

std::string_view maybe_trimmed(std::string_view text, bool trims) {
  return trims ? trimmed(text) : text;
}

Error out_of_turn(ChatFamily family, std::size_t index, std::string_view expected, std::string_view found) {
  return Error{ErrorCode::kInvalidInput, fmt::format("chat template {}: message {}: expected role {}, found {}",
                                                     to_string(family), index + 1, expected, printable(found))};
}

/// Checks that roles are known and in a position that the family allows, and that content is UTF-8.
Result<void> check_messages(ChatFamily family, std::span<const ChatMessage> messages, SystemPlace system,
                            bool alternates) {
  if (messages.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("chat template {}: expected at least one message", to_string(family))};
  }
  // A leading system message that is folded into a user message does not count as a turn.
  const bool folds = system == SystemPlace::kFirstUser || system == SystemPlace::kLastUser;
  const std::size_t first_turn = folds && messages[0].role == "system" ? 1 : 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (find_invalid_utf8(messages[i].content)) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("chat template {}: message {}: expected UTF-8", to_string(family), i + 1)};
    }
    if (role != "system" && role != "user" && role != "assistant") {
      return out_of_turn(family, i, "system, user or assistant", role);
    }
    if (i < first_turn) continue;
    if (role == "system" && system != SystemPlace::kOwnTurn) return out_of_turn(family, i, "user or assistant", role);
    const std::string_view in_turn = (i - first_turn) % 2 == 0 ? "user" : "assistant";
    if (alternates && role != in_turn) return out_of_turn(family, i, in_turn, role);
  }
  return {};
}

/// Qwen3: removes thoughts up to "</think>" from answers before the last question, and marks them in later answers.
std::string with_thoughts_handled(std::span<const ChatMessage> messages, std::size_t index) {
  std::size_t last_question = messages.size() - 1;
  for (std::size_t i = messages.size(); i-- > 0;) {
    const std::string& question = messages[i].content;
    const bool is_tool_response = question.starts_with("<tool_response>") && question.ends_with("</tool_response>");
    if (messages[i].role != "user" || is_tool_response) continue;
    last_question = i;
    break;
  }
  constexpr std::string_view kEnd = "</think>";
  constexpr std::string_view kBegin = "<think>";
  std::string_view content = messages[index].content;
  std::string_view thoughts;
  if (const std::size_t end = content.find(kEnd); end != std::string_view::npos) {
    thoughts = without(content.substr(0, end), '\n');
    if (const std::size_t begin = thoughts.rfind(kBegin); begin != std::string_view::npos) {
      thoughts.remove_prefix(begin + kBegin.size());
    }
    while (thoughts.starts_with('\n')) thoughts.remove_prefix(1);
    content.remove_prefix(content.rfind(kEnd) + kEnd.size());
    while (content.starts_with('\n')) content.remove_prefix(1);
  }
  if (index <= last_question || (index + 1 != messages.size() && thoughts.empty())) return std::string(content);
  while (content.starts_with('\n')) content.remove_prefix(1);
  return fmt::format("<think>\n{}\n</think>\n\n{}", without(thoughts, '\n'), content);
}

Result<std::string> render(ChatFamily family, const TurnFormat& format, std::span<const ChatMessage> messages,
                           const ChatOptions& options) {
  SS_TRY_VOID(check_messages(family, messages, format.system, format.alternates));
  // A template that does not write bos_token writes none, whatever the tokenizer calls its own.
  std::string text = format.bos.empty() ? std::string() : options.bos_token.value_or(std::string(format.bos));
  const auto add_turn = [&](std::string_view role, std::string_view content) {
    text.append(format.open).append(role).append(format.middle).append(content).append(format.close);
  };
  const bool begins_with_system = messages[0].role == "system";
  std::string folded;
  std::size_t first = 0;
  if (!format.system_header.empty()) {
    std::string content(format.system_header);
    if (begins_with_system) content.append(trimmed(messages[0].content));
    add_turn("system", content);
    first = begins_with_system ? 1 : 0;
  } else if (!begins_with_system && !format.default_system.empty()) {
    add_turn("system", format.default_system);
  } else if (begins_with_system && format.system == SystemPlace::kFirstUser) {
    folded = messages[0].content + "\n\n";
    first = 1;
  }
  for (std::size_t i = first; i < messages.size(); ++i) {
    if (format.skips_empty_system && messages[i].role == "system" && messages[i].content.empty()) continue;
    const bool is_answer = messages[i].role == "assistant";
    std::string content = is_answer && format.handles_thoughts
                              ? with_thoughts_handled(messages, i)
                              : std::string(maybe_trimmed(messages[i].content, format.trims));
    if (i == first) content.insert(0, folded);
    add_turn(is_answer ? format.assistant : std::string_view(messages[i].role), content);
  }
  if (options.add_generation_prompt) {
    if (messages.back().role == "assistant" && !format.opens_answer_after_answer) return text;
    text.append(format.open).append(format.assistant).append(format.middle);
  } else if (!format.end_without_generation_prompt.empty()) {
    text.append(options.eos_token.value_or(std::string(format.end_without_generation_prompt)));
  }
  return text;
}

Result<std::string> render(ChatFamily family, const InstFormat& format, std::span<const ChatMessage> messages,
                           const ChatOptions& options) {
  SS_TRY_VOID(check_messages(family, messages, format.system, format.alternates));
  const std::string bos = options.bos_token.value_or("<s>");
  const std::string eos = options.eos_token.value_or("</s>");
  std::string text = format.bos_at_each_user ? std::string() : bos;
  const bool folds = format.system != SystemPlace::kOwnTurn && messages[0].role == "system";
  std::string folded;
  if (folds) folded.append(format.system_open).append(messages[0].content).append(format.system_close);
  const std::size_t first = folds ? 1 : 0;
  for (std::size_t i = first; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    if (message.role == "system") {
      text.append(format.system_open).append(message.content).append(format.system_close);
      continue;
    }
    if (message.role == "assistant") {
      text.append(format.assistant_prefix).append(maybe_trimmed(message.content, format.trims_assistant));
      text.append(format.before_eos).append(eos).append(format.after_eos);
      continue;
    }
    const bool takes_system = format.system == SystemPlace::kFirstUser ? i == first : folds && i + 1 == messages.size();
    const std::string content = takes_system ? folded + message.content : message.content;
    // The untrimmed Llama 2 template opens the first turn in its system text, or not at all.
    const bool opens = format.opens_first_turn || i > 1;
    if (opens) text.append(format.bos_at_each_user ? bos : std::string()).append(format.open);
    text.append(maybe_trimmed(content, format.trims_user)).append(format.close);
  }
  return text;
}

}  // namespace

Result<std::string> render_chat(ChatFamily family, std::span<const ChatMessage> messages, const ChatOptions& options) {
  return std::visit([&](const auto& format) { return render(family, format, messages, options); }, format_of(family));
}

Result<std::string> render_chat(ChatFamily family, std::span<const ChatMessage> messages, bool add_generation_prompt) {
  return render_chat(family, messages,
                     ChatOptions{.add_generation_prompt = add_generation_prompt, .bos_token = {}, .eos_token = {}});
}

}  // namespace secondsource
