#include "engine/weight_views.h"

#include <cstring>
#include <vector>

#include "core/half.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

/// Rows of two int8 values and one scale: row r is [r, -r] with the scale r / 2.
class CountedRows final : public WeightSource {
 public:
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    for (std::int64_t i = 0; i < n_rows; ++i) {
      const auto row = static_cast<int>(first_row + i);
      values[static_cast<std::size_t>(2 * i)] = static_cast<std::byte>(row);
      values[static_cast<std::size_t>(2 * i + 1)] = static_cast<std::byte>(-row);
      scales[static_cast<std::size_t>(i)] = static_cast<float>(row) / 2.0F;
    }
    return {};
  }
  [[nodiscard]] std::optional<StoredContent> stored_content() const override {
    return StoredContent{.identity = "file", .is_settled = true, .size_bytes = 1, .conversion = "int8"};
  }
};

/// A vector of BF16 values 0, 1, 2, ...
class CountedVector final : public WeightSource {
 public:
  Result<void> read_rows(std::int64_t, std::int64_t, std::span<std::byte> values, std::span<float>) const override {
    for (std::size_t i = 0; i < values.size() / 2; ++i) {
      const Bf16 value = to_bf16(static_cast<float>(i));
      std::memcpy(values.data() + 2 * i, &value, sizeof value);
    }
    return {};
  }
};

constexpr RowShape kRows{.n_cols = 2, .encoding = WeightEncoding::kInt8PerRow};

ModelConfig config_with(std::int64_t head_dim, std::int64_t rotary_dim, RotaryPairs pairs) {
  ModelConfig config;
  config.head_dim = head_dim;
  config.rotary_dim = rotary_dim;
  config.rotary_pairs = pairs;
  return config;
}

TEST_CASE("the pairs of a head come to i and i + half, and what is not rotated to the places left over") {
  CHECK(head_order_of(config_with(8, 8, RotaryPairs::kHalves)).empty());
  CHECK(head_order_of(config_with(8, 8, RotaryPairs::kNeighbours)) == HeadOrder{0, 2, 4, 6, 1, 3, 5, 7});
  CHECK(head_order_of(config_with(8, 4, RotaryPairs::kHalves)) == HeadOrder{0, 1, 4, 5, 2, 3, 6, 7});
  CHECK(head_order_of(config_with(8, 4, RotaryPairs::kNeighbours)) == HeadOrder{0, 2, 4, 5, 1, 3, 6, 7});
  CHECK(head_order_of(config_with(8, 6, RotaryPairs::kHalves)) == HeadOrder{0, 1, 2, 6, 3, 4, 5, 7});
}

TEST_CASE("a view has its rows head by head in the order, with their scales, from any first row") {
  const auto view =
      view_rows(std::make_shared<CountedRows>(), {.first_row = 8, .n_rows = 8, .order = {0, 2, 1, 3}}, kRows);
  const std::vector<int> expected = {8, 10, 9, 11, 12, 14, 13, 15};
  for (std::int64_t first = 0; first < 8; ++first) {
    for (std::int64_t n = 1; n <= 8 - first; ++n) {
      std::vector<std::byte> values(static_cast<std::size_t>(2 * n));
      std::vector<float> scales(static_cast<std::size_t>(n));
      REQUIRE_OK(view->read_rows(first, n, values, scales));
      for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
        const int row = expected[static_cast<std::size_t>(first) + i];
        CHECK(static_cast<int>(values[2 * i]) == row);
        CHECK(scales[i] == static_cast<float>(row) / 2.0F);
      }
    }
  }
}

TEST_CASE("behind a latent, neighbours that are rotated together get to the halves of the rotation") {
  ModelConfig config;
  config.rotary_dim = 6;
  config.rotary_pairs = RotaryPairs::kNeighbours;
  CHECK(latent_order_of(config, 3) == HeadOrder{0, 1, 2, 3, 5, 7, 4, 6, 8});
  config.rotary_pairs = RotaryPairs::kHalves;
  CHECK(latent_order_of(config, 3).empty());
}

TEST_CASE("a cache of packed weights tells views of one tensor from each other") {
  const auto conversion = [](RowView view) {
    return view_rows(std::make_shared<CountedRows>(), std::move(view), kRows)->stored_content()->conversion;
  };
  CHECK(conversion({.first_row = 0, .n_rows = 8}) != conversion({.first_row = 8, .n_rows = 8}));
  CHECK(conversion({.first_row = 0, .n_rows = 4}) != conversion({.first_row = 0, .n_rows = 8}));
  CHECK(conversion({.first_row = 0, .n_rows = 8}) != conversion({.first_row = 0, .n_rows = 8, .order = {1, 0}}));
}

TEST_CASE("vectors are reordered as stored, and norm weights are what they mean in f32") {
  const RowShape shape{.n_cols = 6, .encoding = WeightEncoding::kBf16};
  const auto source = std::make_shared<CountedVector>();
  std::vector<Bf16> reordered(6);
  REQUIRE_OK(
      reorder_vector(source, {2, 0, 1}, shape)->read_rows(0, 1, std::as_writable_bytes(std::span(reordered)), {}));
  std::vector<float> found;
  for (const Bf16 value : reordered) found.push_back(to_float(value));
  CHECK(found == std::vector<float>{2, 0, 1, 5, 3, 4});

  std::vector<float> meant(6);
  REQUIRE_OK(adjust_vector(source, {.offset = 1.0F, .factor = 0.125F}, shape)
                 ->read_rows(0, 1, std::as_writable_bytes(std::span(meant)), {}));
  CHECK(meant == std::vector<float>{0.125F, 0.25F, 0.375F, 0.5F, 0.625F, 0.75F});
}

}  // namespace
}  // namespace secondsource
