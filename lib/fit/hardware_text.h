#pragma once
// The text of reports/hardware.yaml. lib/fit/CMakeLists.txt generates its .cpp file.

#include <string_view>

namespace secondsource::detail {

[[nodiscard]] std::string_view hardware_text();

}  // namespace secondsource::detail
