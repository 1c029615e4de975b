// Fuzzes chat templates. Any bytes must be parsed and rendered, or refused with one line, within small limits.

#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/utf8.h"
#include "jinja/template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  static const nlohmann::ordered_json kVariables = nlohmann::ordered_json::parse(R"({
    "messages": [{"role": "system", "content": " s "}, {"role": "user", "content": "h\u00e9 \ud83e\udd99\n"},
                 {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1.5}}}]}],
    "tools": null, "add_generation_prompt": true, "bos_token": "<s>", "n": 3, "l": [3, 1, "x"], "d": {"b": 1, "a": null}})");
  constexpr jinja::Limits kLimits{.steps = 20'000, .memory_bytes = 1 << 20, .depth = 200};
  const auto is_one_line = [](const Error& error) { return error.message.find('\n') == std::string::npos; };
  const Result<jinja::Template> parsed =
      jinja::Template::parse(std::string_view(reinterpret_cast<const char*>(data), size), "t");
  if (!parsed) {
    if (!is_one_line(parsed.error())) std::abort();
    return 0;
  }
  const Result<std::string> text = parsed->render(kVariables, {.limits = kLimits});
  if (!text && !is_one_line(text.error())) std::abort();
  if (text && find_invalid_utf8(*text)) std::abort();
  return 0;
}
