// Fuzzes the reader of server-sent events and the readers of their chunks. The events must not depend on whether the bytes
// arrive at once or one by one. The fast reader of common chunks must agree with the general reader on every chunk it accepts.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "serving/openai_stream.h"
#include "serving/sse_parser.h"
#include "serving/token_event.h"

namespace {

using namespace secondsource;

struct Events {
  std::vector<std::string> data;
  bool is_whole = false;
};

Events events_of(std::string_view text, std::size_t n_bytes) {
  SseParser parser(1 << 12);
  Events events;
  const auto keep = [&](std::string_view data) -> Result<void> {
    events.data.emplace_back(data);
    return {};
  };
  for (std::size_t at = 0; at < text.size(); at += n_bytes) {
    if (!parser.push(text.substr(at, n_bytes), keep)) return events;
  }
  events.is_whole = parser.finish(keep).has_value();
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Events at_once = events_of(text, size + 1);
  const Events one_by_one = events_of(text, 1);
  if (at_once.is_whole != one_by_one.is_whole || at_once.data != one_by_one.data) std::abort();
  for (const std::string& one : at_once.data) {
    const auto chunk = parse_served_chunk(one);
    if (chunk && chunk->usage && chunk->usage->n_output_tokens.value_or(0) < 0) std::abort();
    ServedChunk usual;
    if (read_token_event(one, usual) && (!chunk || usual != *chunk)) std::abort();
  }
  return 0;
}
