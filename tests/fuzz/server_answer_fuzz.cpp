// Fuzzes the parsers of answers to requests outside of the OpenAI API, which differ by server: log-probabilities of given
// token ids, and generated token ids. The first byte of the input chooses the kind of server.

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "serving/forced_scores.h"
#include "serving/preset.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  if (size == 0) return 0;
  ServedSystem system;
  system.url = "http://h/v1";
  system.preset = all_presets()[data[0] % all_presets().size()].preset;
  const std::string_view json(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::vector<std::int32_t> ids = {5, 6, 7, 8};
  const ForcedIds forced{.ids = ids, .n_prompt = 2};
  for (std::size_t index = 0; index < n_score_calls(system, forced); ++index) {
    const auto scores = parse_scores(system, json, forced, index);
    if (scores && scores->size() * n_score_calls(system, forced) != ids.size() - forced.n_prompt) std::abort();
  }
  const auto answer = parse_generated(system, json);
  if (!answer) return 0;
  for (const std::int32_t id : answer->ids) {
    if (id < 0) std::abort();
  }
  return 0;
}
