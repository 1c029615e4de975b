#include "recorded/suite_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <variant>

#include "core/check.h"

namespace secondsource {
namespace {

constexpr std::size_t kLargestSuite = std::size_t{16} << 20;

/// Writes a text as a double-quoted YAML scalar. This is the text's JSON string, except for characters that YAML does
/// not allow or treats as ends of lines.
std::string in_yaml(const std::string& text) {
  const std::string json = nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  struct Escape {
    std::string_view bytes, escape;
  };
  constexpr std::array kEscapes = {Escape{"\x7f", "\\u007f"}, Escape{"\xe2\x80\xa8", "\\u2028"},
                                   Escape{"\xe2\x80\xa9", "\\u2029"}, Escape{"\xef\xbb\xbf", "\\ufeff"}};
  std::string result;
  for (std::size_t i = 0; i < json.size();) {
    const std::string_view rest = std::string_view(json).substr(i);
    // U+0080 to U+009F, of which U+0085 is an end of a line.
    if (rest.size() > 1 && rest[0] == '\xc2' && static_cast<unsigned char>(rest[1]) < 0xa0) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned char>(rest[1]));
      i += 2;
      continue;
    }
    const auto found = std::ranges::find_if(kEscapes, [&](const Escape& e) { return rest.starts_with(e.bytes); });
    result += found == kEscapes.end() ? rest.substr(0, 1) : found->escape;
    i += found == kEscapes.end() ? 1 : found->bytes.size();
  }
  return result;
}

void write_content(const PromptContent& content, std::string& text) {
  if (const auto* raw = std::get_if<std::string>(&content)) {
    text += fmt::format("    text: {}\n", in_yaml(*raw));
    return;
  }
  const auto* const messages = std::get_if<std::vector<ChatMessage>>(&content);
  SS_CHECK(messages != nullptr, "a recorded prompt has no token ids");
  text += "    messages:\n";
  for (const ChatMessage& message : *messages) {
    text += fmt::format("      - {{role: {}, content: {}}}\n", message.role, in_yaml(message.content));
  }
}

}  // namespace

Result<std::string> write_prompt_suite(const SuiteHead& head, const std::vector<GoldenPrompt>& prompts) {
  std::string text = fmt::format("# {}\nsuite_format: 1\nname: {}\nlicense: {}\nprompts:\n", head.comment,
                                 in_yaml(head.name), in_yaml(head.license));
  for (const GoldenPrompt& prompt : prompts) {
    std::vector<std::string> tags;
    std::ranges::transform(prompt.tags, std::back_inserter(tags), in_yaml);
    text += fmt::format("  - id: {}\n    tags: [{}]\n    kind: {}\n    max_new_tokens: {}\n", in_yaml(prompt.id),
                        fmt::join(tags, ", "), to_string(prompt.kind), prompt.max_new_tokens);
    write_content(prompt.content, text);
  }
  if (text.size() <= kLargestSuite) return text;
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected a suite of at most 16 MiB, found {} bytes; take fewer prompts (--sample)",
                           head.name, text.size())};
}

}  // namespace secondsource
