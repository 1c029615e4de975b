// Fuzzes the reader of run.json that resuming uses. An accepted record must be accepted again after it was written.

#include <cstdint>
#include <cstdlib>

#include "record/record_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto record = run_record_from_json(std::string_view(reinterpret_cast<const char*>(data), size), "run.json");
  if (!record) return 0;
  const std::string written = to_json(*record);
  const auto again = run_record_from_json(written, "run.json");
  if (!again || to_json(*again) != written) std::abort();
  return 0;
}
