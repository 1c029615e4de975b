#pragma once
// The texts of bundles/shapes/*.yaml. lib/bundle/CMakeLists.txt generates their .cpp file.

#include <span>
#include <string_view>

namespace secondsource::detail {

struct ShapeText {
  std::string_view file;
  std::string_view text;
};

[[nodiscard]] std::span<const ShapeText> shape_texts();

}  // namespace secondsource::detail
