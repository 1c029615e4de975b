#pragma once
// The extents of a tensor, outermost first.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace secondsource {

/// Extents, outermost first; a scalar has none. Every extent is >= 0.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents) : extents_(extents) {}
  explicit Shape(std::vector<std::int64_t> extents) : extents_(std::move(extents)) {}

  [[nodiscard]] std::size_t rank() const noexcept { return extents_.size(); }
  [[nodiscard]] std::int64_t extent(std::size_t axis) const { return extents_.at(axis); }
  [[nodiscard]] std::span<const std::int64_t> extents() const noexcept { return extents_; }

  /// The number of elements; nullopt when an extent is negative or the product overflows.
  [[nodiscard]] std::optional<std::int64_t> n_elements() const;

  /// The shape with another innermost extent. Its rank must not be 0.
  [[nodiscard]] Shape with_last(std::int64_t extent) const;

  /// "[256, 128]"
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::vector<std::int64_t> extents_;
};

}  // namespace secondsource
