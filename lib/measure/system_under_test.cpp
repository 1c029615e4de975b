#include "measure/system_under_test.h"

#include <fmt/format.h>

namespace secondsource {

Result<std::optional<RequestEnd>> SystemUnderTest::cancel(std::int64_t) {
  return Error{ErrorCode::kUnsupported, fmt::format("{}: a single request cannot be cancelled", name())};
}

std::optional<ServerClock> SystemUnderTest::take_server_clock(std::int64_t) {
  return std::nullopt;
}

}  // namespace secondsource
