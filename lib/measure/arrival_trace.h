#pragma once
// Reads recorded loads: when requests arrived, and how long they and their answers were. Three formats are recognised
// by their first line:
//
//   Azure LLM inference trace (Splitwise, ISCA 2024)   TIMESTAMP,ContextTokens,GeneratedTokens
//   BurstGPT (arXiv:2401.17644)                        Timestamp,Model,Request tokens,Response tokens,...
//   Mooncake (FAST 2025)                               {"timestamp": ms, "input_length": n, "output_length": n,
//                                                       "hash_ids": [...]}

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

/// Tokens of a prompt for which a trace has one name.
inline constexpr std::int32_t kTraceBlockTokens = 512;

struct TraceEntry {
  std::int64_t at_ns = 0;  ///< since the first request
  std::int32_t n_prompt_tokens = 0;
  std::int32_t n_output_tokens = 0;
  /// The name of each block of the prompt, if the trace has them. Blocks with the same name have the same tokens and
  /// the same preceding blocks. The last block may be shorter than kTraceBlockTokens.
  std::vector<std::int64_t> blocks{};
};

struct ArrivalTrace {
  std::string format;               ///< "azure", "burstgpt", "mooncake"
  std::vector<TraceEntry> entries;  ///< sorted by time; entries with equal times keep the order of the file
  std::int64_t n_left_out = 0;      ///< failed requests, which have no prompt or no answer
};

/// Parses a trace. Errors: kInvalidInput with the line if it has none of the three formats.
Result<ArrivalTrace> parse_arrival_trace(std::string_view text, std::string_view name);
/// Reads and parses a trace file. Errors: those of parse_arrival_trace(), kIo.
Result<ArrivalTrace> read_arrival_trace(const std::filesystem::path& path);

}  // namespace secondsource
