#pragma once
// Parses the answers of an OpenAI-compatible server: the chunks of a stream, and whole responses.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

/// Why the server ended an answer.
enum class ServedFinish : std::uint8_t {
  kNone,    ///< the answer goes on
  kLength,  ///< the length that was asked for
  kStop,    ///< the end of text
  kOther,   ///< a tool call, a filter, ...
};

/// The server's own counts; each is nullopt where it does not report it.
struct ServedUsage {
  std::optional<std::int32_t> n_prompt_tokens{};
  std::optional<std::int32_t> n_output_tokens{};
  std::optional<std::int32_t> n_cached_prompt_tokens{};
  friend bool operator==(const ServedUsage&, const ServedUsage&) = default;
};

/// One chunk of a stream, or a whole response, of the first choice.
struct ServedChunk {
  std::string text;               ///< of the answer
  std::string thought;            ///< of the reasoning channel
  std::string tool;               ///< arguments of tool calls
  std::vector<std::int32_t> ids;  ///< of all channels, where the server gives them
  /// The counts so far, if a chunk reports them; those of the last chunk are the server's final count.
  std::optional<ServedUsage> usage;
  ServedFinish finish = ServedFinish::kNone;
  std::string other_reason{};  ///< the server's own word, if `finish` is kOther
  std::string model{};         ///< that answered, as the server names it; empty if it does not say

  friend bool operator==(const ServedChunk&, const ServedChunk&) = default;
  [[nodiscard]] bool has_text() const { return !text.empty() || !thought.empty() || !tool.empty(); }
};

/// The data of one event that ends a stream without an error.
inline constexpr std::string_view kStreamEnd = "[DONE]";

/// `created` of a chunk or response: when the server began the answer or wrote this chunk, in seconds since 1970. nullopt where
/// it has none, or no such number.
[[nodiscard]] std::optional<std::int64_t> created_of(std::string_view json);

/// Parses one chunk or response of either API. Errors: kInvalidInput for something else; kUnavailable with the server's
/// own sentence if it reports an error.
Result<ServedChunk> parse_served_chunk(std::string_view json);

}  // namespace secondsource
