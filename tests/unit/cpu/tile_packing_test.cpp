// Compares packed tiles with the layouts that packed_weight.h defines, value by value.

#include "cpu/tile_packing.h"

#include <cmath>
#include <cstring>

#include "core/e4m3.h"
#include "core/half.h"
#include "core/random.h"
#include "support/catch.h"

namespace secondsource::cpu {
namespace {

/// Byte offset of value (row, k) in a tile of values of `bytes` bytes with `vec` adjacent columns.
std::size_t place_of(std::int64_t row, std::int64_t k, std::int64_t bytes, std::int64_t vec) {
  return static_cast<std::size_t>(((k / vec * kTileRows + row) * vec + k % vec) * bytes);
}

struct Packed {
  std::vector<std::byte> values;
  std::vector<float> scales;
  std::vector<std::byte> tile;
  std::vector<std::int32_t> row_sums;
};

Packed pack_random(WeightEncoding encoding, std::int64_t n_rows, std::int64_t n_cols) {
  const TileLayout layout = tile_layout(encoding);
  const std::int64_t n_units = (n_cols + layout.k_multiple - 1) / layout.k_multiple;
  Packed packed;
  packed.tile.assign(static_cast<std::size_t>(n_units * layout.bytes_per_multiple), std::byte{0xEE});
  TilePacker packer(encoding, n_cols);
  // A full tile is packed first: what remains of it in the packer must not appear in the next one.
  for (const std::int64_t rows : {std::int64_t{kTileRows}, n_rows}) {
    const std::span<std::byte> values = packer.values(rows);
    const std::span<float> scales = packer.scales(rows);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint64_t bits = random_bits(7, i + static_cast<std::uint64_t>(rows));
      values[i] = has_int4_codes(encoding)
                      ? static_cast<std::byte>(static_cast<std::int8_t>(static_cast<int>(bits % 16) - 8))
                      : static_cast<std::byte>(bits & (has_four_bit_codes(encoding) ? 0xfU : 0xffU));
    }
    for (std::size_t i = 0; i < scales.size(); ++i) {
      scales[i] = 0.25F * static_cast<float>(i + 1);
      if (encoding == WeightEncoding::kNvfp4Group16) scales[i] = to_float(E4m3{static_cast<std::uint8_t>(i % 127)});
      if (encoding == WeightEncoding::kMxfp4Group32) scales[i] = std::ldexp(1.0F, static_cast<int>(i % 255) - 127);
    }
    if (encoding == WeightEncoding::kInt4Group32Zero) {
      const std::size_t per_row = scales.size() / static_cast<std::size_t>(rows);
      for (std::size_t i = 0; i < scales.size(); ++i) {
        if (i % per_row >= per_row / 2) scales[i] = static_cast<float>(i % 16) - 8.0F;
      }
    }
    packer.pack(rows, packed.tile.data());
    packed.values.assign(values.begin(), values.end());
    packed.scales.assign(scales.begin(), scales.end());
  }
  for (std::int64_t row = 0; row < n_rows; ++row) packed.row_sums.push_back(packer.row_sum(row));
  return packed;
}

/// The tile of plain values, computed from the layout alone.
std::vector<std::byte> expected_values(const Packed& packed, std::int64_t n_rows, std::int64_t n_cols,
                                       std::int64_t bytes, std::int64_t vec) {
  std::vector<std::byte> tile(packed.tile.size(), std::byte{0});
  for (std::int64_t row = 0; row < n_rows; ++row) {
    for (std::int64_t k = 0; k < n_cols; ++k) {
      const auto from = static_cast<std::ptrdiff_t>((row * n_cols + k) * bytes);
      std::copy_n(packed.values.begin() + from, bytes,
                  tile.begin() + static_cast<std::ptrdiff_t>(place_of(row, k, bytes, vec)));
    }
  }
  return tile;
}

TEST_CASE("a tile is its rows in the written layout, whatever the number of rows and columns") {
  const struct {
    WeightEncoding encoding;
    std::int64_t bytes, vec;
  } layouts[] = {{WeightEncoding::kF32, 4, 1},
                 {WeightEncoding::kBf16, 2, 2},
                 {WeightEncoding::kF16, 2, 1},
                 {WeightEncoding::kInt8PerRow, 1, 4}};
  for (const auto& layout : layouts) {
    for (const std::int64_t n_rows : {1, 5, 15, 16}) {
      for (const std::int64_t n_cols : {1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 576}) {
        CAPTURE(to_string(layout.encoding), n_rows, n_cols);
        const Packed packed = pack_random(layout.encoding, n_rows, n_cols);
        CHECK(packed.tile == expected_values(packed, n_rows, n_cols, layout.bytes, layout.vec));
      }
    }
  }
}

TEST_CASE("int8 tiles come with the sums of their rows") {
  const std::int64_t n_cols = 77;
  const Packed packed = pack_random(WeightEncoding::kInt8PerRow, 9, n_cols);
  for (std::size_t row = 0; row < 9; ++row) {
    std::int32_t sum = 0;
    for (std::int64_t k = 0; k < n_cols; ++k) {
      sum += static_cast<std::int8_t>(packed.values[row * 77 + static_cast<std::size_t>(k)]);
    }
    CHECK(packed.row_sums[row] == sum);
  }
}

TEST_CASE("an int8-g32 tile has quads of 32 columns, then the group's 16 scales") {
  for (const std::int64_t n_rows : {1, 5, 16}) {
    for (const std::int64_t n_cols : {1, 3, 31, 32, 33, 63, 64, 65, 96, 100, 200, 512}) {
      CAPTURE(n_rows, n_cols);
      const Packed packed = pack_random(WeightEncoding::kInt8Group32, n_rows, n_cols);
      const std::int64_t n_groups = (n_cols + 31) / 32;
      std::vector<std::byte> expected(packed.tile.size(), std::byte{0});
      REQUIRE(expected.size() == static_cast<std::size_t>(n_groups * (32 * 16 + 32)));
      for (std::int64_t row = 0; row < n_rows; ++row) {
        for (std::int64_t k = 0; k < n_cols; ++k) {
          const std::int64_t to = k / 32 * 544 + k % 32 / 4 * 64 + row * 4 + k % 4;
          expected[static_cast<std::size_t>(to)] = packed.values[static_cast<std::size_t>(row * n_cols + k)];
        }
        for (std::int64_t group = 0; group < n_groups; ++group) {
          const F16 scale = to_f16(packed.scales[static_cast<std::size_t>(row * n_groups + group)]);
          std::memcpy(expected.data() + group * 544 + 512 + row * 2, &scale.bits, 2);
        }
      }
      CHECK(packed.tile == expected);
    }
  }
}

TEST_CASE("an fp8-g128 tile has quads of 128 columns, then the group's 16 scales") {
  for (const std::int64_t n_rows : {1, 5, 16}) {
    for (const std::int64_t n_cols : {1, 3, 63, 64, 65, 127, 128, 129, 192, 193, 256, 640}) {
      CAPTURE(n_rows, n_cols);
      const Packed packed = pack_random(WeightEncoding::kFp8Group128, n_rows, n_cols);
      const std::int64_t n_groups = (n_cols + 127) / 128;
      std::vector<std::byte> expected(packed.tile.size(), std::byte{0});
      REQUIRE(expected.size() == static_cast<std::size_t>(n_groups * (128 * 16 + 64)));
      for (std::int64_t row = 0; row < n_rows; ++row) {
        for (std::int64_t k = 0; k < n_cols; ++k) {
          const std::int64_t to = k / 128 * 2112 + k % 128 / 4 * 64 + row * 4 + k % 4;
          expected[static_cast<std::size_t>(to)] = packed.values[static_cast<std::size_t>(row * n_cols + k)];
        }
        for (std::int64_t group = 0; group < n_groups; ++group) {
          const float scale = packed.scales[static_cast<std::size_t>(row * n_groups + group)];
          std::memcpy(expected.data() + group * 2112 + 2048 + row * 4, &scale, 4);
        }
      }
      CHECK(packed.tile == expected);
    }
  }
}

TEST_CASE("an mxfp4 tile has nibbles in the order of the kernels, then the exponents of the group's 16 scales") {
  for (const std::int64_t n_rows : {1, 16}) {
    for (const std::int64_t n_cols : {1, 8, 31, 32, 33, 64, 96, 200, 512}) {
      CAPTURE(n_rows, n_cols);
      const Packed packed = pack_random(WeightEncoding::kMxfp4Group32, n_rows, n_cols);
      const std::int64_t n_groups = (n_cols + 31) / 32;
      REQUIRE(packed.tile.size() == static_cast<std::size_t>(n_groups * 272));
      std::vector<std::byte> expected(packed.tile.size(), std::byte{0});
      for (std::int64_t row = 0; row < n_rows; ++row) {
        for (std::int64_t k = 0; k < n_cols; ++k) {
          const auto code = static_cast<unsigned>(packed.values[static_cast<std::size_t>(row * n_cols + k)]);
          const std::int64_t bit = k % 2 * 16 + k % 8 / 2 * 4;
          const std::int64_t lane = k / 32 * 272 + k % 32 / 8 * 64 + row * 4;
          expected[static_cast<std::size_t>(lane + bit / 8)] |= static_cast<std::byte>(code << (bit % 8));
        }
        for (std::int64_t group = 0; group < n_groups; ++group) {
          const std::int64_t place = row * n_groups + group;  // pack_random() gives its scale this exponent
          expected[static_cast<std::size_t>(group * 272 + 256 + row)] = static_cast<std::byte>(place % 255);
        }
      }
      CHECK(packed.tile == expected);
    }
  }
}

TEST_CASE("an nvfp4 tile has nibbles in the order of the kernels, then for each row the four scales of 64 columns") {
  for (const std::int64_t n_rows : {1, 16}) {
    for (const std::int64_t n_cols : {1, 8, 16, 17, 31, 32, 48, 64, 65, 96, 200, 512}) {
      CAPTURE(n_rows, n_cols);
      const Packed packed = pack_random(WeightEncoding::kNvfp4Group16, n_rows, n_cols);
      const std::int64_t n_scales = (n_cols + 15) / 16;
      REQUIRE(packed.tile.size() == static_cast<std::size_t>((n_cols + 63) / 64 * 576));
      std::vector<std::byte> expected(packed.tile.size(), std::byte{0});
      for (std::int64_t row = 0; row < n_rows; ++row) {
        for (std::int64_t k = 0; k < n_cols; ++k) {
          const auto code = static_cast<unsigned>(packed.values[static_cast<std::size_t>(row * n_cols + k)]);
          const std::int64_t bit = k % 2 * 16 + k % 8 / 2 * 4;
          const std::int64_t lane = k / 64 * 576 + k % 64 / 8 * 64 + row * 4;
          expected[static_cast<std::size_t>(lane + bit / 8)] |= static_cast<std::byte>(code << (bit % 8));
        }
        for (std::int64_t group = 0; group < n_scales; ++group) {
          // pack_random() gives a scale the code of its place; the first of a row is the global one, which is not in the tile.
          const std::int64_t place = row * (n_scales + 1) + 1 + group;
          expected[static_cast<std::size_t>(group / 4 * 576 + 512 + row * 4 + group % 4)] =
              static_cast<std::byte>(place % 127);
        }
      }
      CHECK(packed.tile == expected);
    }
  }
}

TEST_CASE("an int4 tile has nibbles in the order of the kernels, then the group's 16 scales and its zero points") {
  const WeightEncoding encoding = GENERATE(WeightEncoding::kInt4Group32, WeightEncoding::kInt4Group32Zero);
  const bool has_zeros = encoding == WeightEncoding::kInt4Group32Zero;
  const std::int64_t group_bytes = has_zeros ? 304 : 288;
  for (const std::int64_t n_rows : {1, 16}) {
    for (const std::int64_t n_cols : {1, 8, 31, 32, 33, 64, 96, 200, 512}) {
      CAPTURE(has_zeros, n_rows, n_cols);
      const Packed packed = pack_random(encoding, n_rows, n_cols);
      const std::int64_t n_groups = (n_cols + 31) / 32;
      const std::int64_t n_floats = has_zeros ? 2 * n_groups : n_groups;
      std::vector<std::byte> expected(packed.tile.size(), std::byte{0});
      for (std::int64_t row = 0; row < n_rows; ++row) {
        for (std::int64_t k = 0; k < (has_zeros ? 32 * n_groups : n_cols); ++k) {
          // A column that pads the last group has the zero point as its code.
          const float zero = packed.scales[static_cast<std::size_t>((row + 1) * n_floats - 1)];
          const auto code = k < n_cols
                                ? static_cast<std::int8_t>(packed.values[static_cast<std::size_t>(row * n_cols + k)])
                                : static_cast<std::int8_t>(zero);
          const auto q = static_cast<unsigned>(code) & 0xfU;
          // A row's 32-bit lane has the even columns of eight in its lower half and the odd ones in its upper half.
          const std::int64_t bit = k % 2 * 16 + k % 8 / 2 * 4;
          const std::int64_t lane = k / 32 * group_bytes + k % 32 / 8 * 64 + row * 4;
          expected[static_cast<std::size_t>(lane + bit / 8)] |= static_cast<std::byte>(q << (bit % 8));
        }
        for (std::int64_t group = 0; group < n_groups; ++group) {
          const F16 scale = to_f16(packed.scales[static_cast<std::size_t>(row * n_floats + group)]);
          std::memcpy(expected.data() + group * group_bytes + 256 + row * 2, &scale.bits, 2);
          if (!has_zeros) continue;
          const float zero = packed.scales[static_cast<std::size_t>(row * n_floats + n_groups + group)];
          expected[static_cast<std::size_t>(group * group_bytes + 288 + row)] =
              static_cast<std::byte>(static_cast<std::int8_t>(zero));
        }
      }
      CHECK(packed.tile == expected);
    }
  }
}

}  // namespace
}  // namespace secondsource::cpu
