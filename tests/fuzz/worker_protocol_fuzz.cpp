// Fuzzes both directions of the protocol between a run and its workers. An accepted line must stay the same when it is
// written and read again.

#include <cstdint>
#include <cstdlib>

#include "runner/worker_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  if (const auto message = worker_message_from_line(line)) {
    const std::string written = to_line(*message);
    const auto again = worker_message_from_line(written);
    if (!again || to_line(*again) != written) std::abort();
  }
  if (const auto request = worker_request_from_line(line)) {
    const std::string written = to_line(*request);
    const auto again = worker_request_from_line(written);
    if (!again || to_line(*again) != written) std::abort();
  }
  return 0;
}
