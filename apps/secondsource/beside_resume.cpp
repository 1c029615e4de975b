#include "beside_resume.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace secondsource {

Result<void> check_beside_resume(const std::vector<std::string>& given, std::span<const std::string_view> allowed,
                                 std::string_view record) {
  for (const std::string& name : given) {
    if (name == "--resume" || std::ranges::find(allowed, name) != allowed.end()) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("--resume: the plan is the one in {}; expected only {} beside it, found {}", record,
                             fmt::join(allowed, ", "), name.starts_with("--") ? name : "a " + name)};
  }
  return {};
}

}  // namespace secondsource
