#pragma once
// The chat templates that are recognised: chat_templates.json, from which lib/tokenizer/CMakeLists.txt makes the .cpp
// file.

#include <span>
#include <string_view>

namespace secondsource::tokenizer {

struct KnownTemplate {
  std::string_view sha256;  ///< of the Jinja text, 64 lower-case hexadecimal digits
  std::string_view family;  ///< a name of tokenizer/chat.h
};

[[nodiscard]] std::span<const KnownTemplate> known_templates();

}  // namespace secondsource::tokenizer
