// Fuzzes summary.json. An accepted summary must be accepted again after it was written and read.

#include <cstdint>
#include <cstdlib>

#include "record/record_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto summary =
      run_summary_from_json(std::string_view(reinterpret_cast<const char*>(data), size), "summary.json");
  if (!summary) return 0;
  const std::string written = to_json(*summary);
  const auto again = run_summary_from_json(written, "summary.json");
  if (!again || to_json(*again) != written) std::abort();
  return 0;
}
