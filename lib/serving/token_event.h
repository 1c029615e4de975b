#pragma once
// The usual token event of a stream, read in place: no tree is built and nothing is allocated. What is unusual in any way
// is left to the parser of all events (openai_stream.h), which is strict and says what is wrong.

#include <string_view>

#include "serving/openai_stream.h"

namespace secondsource {

/// Reads one chunk of either API into `chunk`, which is cleared before. False if anything in it is out of the usual: then
/// it may be right or wrong, and `chunk` has no meaning. True if the parser of all events would give the same chunk.
[[nodiscard]] bool read_token_event(std::string_view json, ServedChunk& chunk);

}  // namespace secondsource
