#pragma once
// The plan of a comparison for which none is given: docs/ci/pull-request.yaml, a copy of which travels inside the program.

#include <string_view>

namespace secondsource {

inline constexpr std::string_view kDefaultPlanName = "docs/ci/pull-request.yaml";

/// The text of the file. lib/ab/CMakeLists.txt generates the definition.
[[nodiscard]] std::string_view default_plan_text();

}  // namespace secondsource
