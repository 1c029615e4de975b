// Fuzzes the reader of recorded loads: what it takes is in order, within its limits, and has no more blocks than tokens.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "measure/arrival_trace.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto trace = parse_arrival_trace({reinterpret_cast<const char*>(data), size}, "trace");
  if (!trace) return 0;
  std::int64_t before_ns = 0;
  for (const TraceEntry& entry : trace->entries) {
    if (entry.at_ns < before_ns || entry.n_prompt_tokens < 1 || entry.n_output_tokens < 1) std::abort();
    before_ns = entry.at_ns;
    const auto n_blocks = static_cast<std::int64_t>(entry.blocks.size());
    if (n_blocks > 0 && (n_blocks - 1) * kTraceBlockTokens >= entry.n_prompt_tokens) std::abort();
    for (const std::int64_t block : entry.blocks) {
      if (block < 0) std::abort();
    }
  }
  return 0;
}
