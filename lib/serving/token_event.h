#pragma once
// Parses the usual token event of a stream in place: no tree is built and nothing is allocated. An event that is
// unusual in any way is left to the general parser (openai_stream.h), which is strict and reports what is wrong.

#include <string_view>

#include "serving/openai_stream.h"

namespace secondsource {

/// Reads one chunk of either API into `chunk`, which is cleared first. False if anything in it is unusual; the chunk
/// may then be right or wrong, and the content of `chunk` is meaningless. True if the general parser would give the
/// same chunk.
[[nodiscard]] bool read_token_event(std::string_view json, ServedChunk& chunk);

}  // namespace secondsource
