// Fuzzes the reader of an adapter's lines. Accepted lines must have valid fields, and a refusal must be one line.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/utf8.h"
#include "serving/adapter_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto answer = adapter_answer_from_line({reinterpret_cast<const char*>(data), size});
  if (!answer) {
    if (answer.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  if (const auto* hello = std::get_if<AdapterHello>(&*answer)) {
    if (hello->max_in_flight < 1 || hello->runtime.empty() || hello->runtime != printable(hello->runtime)) std::abort();
  }
  if (const auto* step = std::get_if<AdapterStep>(&*answer)) {
    if (step->tokens.empty()) std::abort();
    for (const AdapterToken& token : step->tokens) {
      if (token.id < -1) std::abort();
    }
  }
  return 0;
}
