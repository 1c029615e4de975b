#include "core/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/checked.h"

namespace secondsource {

std::optional<std::int64_t> Shape::n_elements() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : extents_) {
    if (extent < 0) return std::nullopt;
    const auto next = checked_multiply(product, extent);
    if (!next) return std::nullopt;
    product = *next;
  }
  return product;
}

Shape Shape::with_last(std::int64_t extent) const {
  Shape other = *this;
  other.extents_.back() = extent;
  return other;
}

std::string Shape::to_string() const {
  return fmt::format("[{}]", fmt::join(extents_, ", "));
}

}  // namespace secondsource
