#pragma once
// The flags that may stand beside --resume. What goes on keeps the settings that it was begun with, so a flag that would
// change them is refused and not ignored.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

/// Refuses `given`, the names of all flags and positional arguments on the command line, if one of them is neither
/// --resume nor in `allowed`. `record` names the file that holds the plan. Errors: kInvalidInput.
Result<void> check_beside_resume(const std::vector<std::string>& given, std::span<const std::string_view> allowed,
                                 std::string_view record);

}  // namespace secondsource
