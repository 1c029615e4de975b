// Kernels of products: their sums, and the unpacking of their weights; the expected values come from plain loops in f64.
// tests/conformance compares whole operations with the reference.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/four_bit_curve.h"
#include "core/half.h"
#include "core/random.h"
#include "cpu/cpu_features.h"
#include "cpu/tile_packing.h"
#include "kernel_values.h"

namespace secondsource::cpu {
namespace {

TEST_CASE("every E4M3 weight is multiplied by its value, for every row count of a block, and unpacked to it") {
  // A tile of 16 columns has every number once; rows of activations with a single 1 pick out one column each.
  constexpr std::int64_t kColumns = 16;
  alignas(64) std::byte tile[kColumns * 16] = {};
  float expected[kColumns][16];
  for (std::int64_t k = 0; k < kColumns; ++k) {
    for (std::int64_t row = 0; row < 16; ++row) {
      const auto code = static_cast<std::uint8_t>(row * kColumns + k);
      const E4m3 number{static_cast<std::uint8_t>((code & 0x7fU) == 0x7fU ? code - 1 : code)};
      tile[(k / 4 * 16 + row) * 4 + k % 4] = static_cast<std::byte>(number.bits);
      expected[k][row] = to_float(number);
    }
  }
  for (const Isa isa : usable_isas()) {
    const KernelTable& table = kernel_table(isa);
    const ProductKernel& product = table.products[int(Product::kFp8)];
    for (int n_rows = 1; n_rows <= product.max_rows; ++n_rows) {
      CAPTURE(std::string(to_string(isa)), n_rows);
      std::vector<float> x(static_cast<std::size_t>(n_rows) * kColumns);
      for (int m = 0; m < n_rows; ++m) x[static_cast<std::size_t>(m * kColumns + (5 * m + n_rows) % kColumns)] = 1.0F;
      const PackedRows packed(table, product, x.data(), n_rows, kColumns, kColumns);
      std::vector<float> c(static_cast<std::size_t>(n_rows) * 16);
      product.multiply({.a = packed.bytes.data(),
                        .n_rows = n_rows,
                        .tiles = tile,
                        .tile_bytes = sizeof tile,
                        .n_tiles = 1,
                        .k = kColumns,
                        .c = c.data(),
                        .c_stride = 16});
      for (int m = 0; m < n_rows; ++m) {
        const std::int64_t k = (5 * m + n_rows) % kColumns;
        CHECK(std::equal(expected[k], expected[k] + 16, c.begin() + m * 16));
      }
    }
    const Unpacking& unpacking = table.unpack[int(Product::kFp8)];
    REQUIRE(unpacking.unpack != nullptr);
    alignas(64) std::byte unpacked[kColumns * 16 * sizeof(float)];
    unpacking.unpack(tile, kColumns, unpacked);
    for (std::int64_t k = 0; k < kColumns; ++k) {
      for (std::int64_t row = 0; row < 16; ++row) {
        float value = 0.0F;
        Bf16 half;
        if (unpacking.into == Product::kF32) {
          std::memcpy(&value, unpacked + (k * 16 + row) * 4, sizeof value);
        } else {
          REQUIRE(unpacking.into == Product::kBf16);
          std::memcpy(&half, unpacked + ((k / 2 * 16 + row) * 2 + k % 2) * 2, sizeof half);
          value = to_float(half);
        }
        CAPTURE(std::string(to_string(isa)), k, row);
        CHECK(value == expected[k][row]);
      }
    }
  }
}

TEST_CASE("every row count of a block gives the sums that it gives alone") {
  // f32 tiles: [k][16]. A single row takes another code path.
  constexpr std::int64_t kColumns = 37;
  constexpr std::int64_t kTiles = 3;
  for (const Isa isa : usable_isas()) {
    const KernelTable& table = kernel_table(isa);
    const ProductKernel& product = table.products[int(Product::kF32)];
    std::vector<float> storage(kColumns * kTiles * 16 + 16);
    auto* const tiles = reinterpret_cast<float*>((reinterpret_cast<std::uintptr_t>(storage.data()) + 63) / 64 * 64);
    for (std::int64_t i = 0; i < kColumns * kTiles * 16; ++i) {
      tiles[i] = static_cast<float>(random_unit(11, static_cast<std::uint64_t>(i)) - 0.5);
    }
    for (int n_rows = 1; n_rows <= product.max_rows; ++n_rows) {
      CAPTURE(std::string(to_string(isa)), n_rows);
      Values x(kColumns * n_rows, 12);
      std::vector<float> packed(static_cast<std::size_t>(kColumns * n_rows));
      table.pack({.x = x.data(),
                  .x_stride = kColumns,
                  .n_rows = n_rows,
                  .k = kColumns,
                  .k_padded = kColumns,
                  .vec = product.vec,
                  .act = product.act,
                  .out = packed.data()});
      // Prefetching must not change results.
      for (const bool prefetches : {false, true}) {
        std::vector<float> c(static_cast<std::size_t>(n_rows) * kTiles * 16, kCanary);
        product.multiply({.a = packed.data(),
                          .n_rows = n_rows,
                          .tiles = reinterpret_cast<std::byte*>(tiles),
                          .tile_bytes = kColumns * 64,
                          .n_tiles = kTiles,
                          .k = kColumns,
                          .c = c.data(),
                          .c_stride = kTiles * 16,
                          .next_a = prefetches ? packed.data() : nullptr,
                          .next_tiles = prefetches ? reinterpret_cast<std::byte*>(tiles) : nullptr,
                          .next_tiles_step = prefetches ? 64 : 0});
        for (int m = 0; m < n_rows; ++m) {
          for (std::int64_t column = 0; column < kTiles * 16; ++column) {
            double sum = 0.0;
            for (std::int64_t k = 0; k < kColumns; ++k) {
              sum +=
                  double{x.data()[m * kColumns + k]} * double{tiles[(column / 16 * kColumns + k) * 16 + column % 16]};
            }
            check_near(c[static_cast<std::size_t>(m * kTiles * 16 + column)], sum, 1e-5);
          }
        }
      }
    }
  }
}

TEST_CASE(
    "int8 weights times activations with a mean, and at their bounds, give the sum in f64 for any number of columns") {
  // 65572 columns are more than an int32 sum of codes of eight bits and digits holds; 36 and 132 end in a part of a group.
  for (const Isa isa : usable_isas()) {
    const KernelTable& table = kernel_table(isa);
    const ProductKernel& of_one_row = table.products[int(Product::kInt8)];
    for (const std::int64_t n_cols : {4, 32, 36, 132, 16384, 65572}) {
      std::vector<std::byte> storage(static_cast<std::size_t>(n_cols) * 16 + 64);
      auto* const tile =
          reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(storage.data()) + 63) / 64 * 64);
      for (const bool at_bounds : {false, true}) {
        const auto weight = [&](std::int64_t row, std::int64_t k) {
          if (at_bounds) return row % 2 == 0 ? 127 : -127;
          return static_cast<int>(255.0 * random_unit(31, static_cast<std::uint64_t>(k * 16 + row))) - 127;
        };
        for (std::int64_t k = 0; k < n_cols; ++k) {
          for (std::int64_t row = 0; row < 16; ++row) {
            tile[(k / 4 * 16 + row) * 4 + k % 4] = static_cast<std::byte>(weight(row, k));
          }
        }
        for (const int n_rows : {1, 2, kernel_for_rows(of_one_row, 2).max_rows}) {
          const ProductKernel& product = kernel_for_rows(of_one_row, n_rows);
          CAPTURE(std::string(to_string(isa)), n_cols, at_bounds, n_rows);
          // Multiples of 1/64 from 0.5 to 1.5, or 1: BF16 holds them all.
          std::vector<float> x(static_cast<std::size_t>(n_cols) * static_cast<std::size_t>(n_rows), 1.0F);
          for (std::size_t i = 0; i < x.size() && !at_bounds; ++i) {
            x[i] = 0.5F + std::nearbyint(64.0F * static_cast<float>(random_unit(32, i))) / 64.0F;
          }
          const std::int64_t padded = (n_cols + product.vec - 1) / product.vec * product.vec;
          PackedRows packed(table, product, x.data(), n_rows, n_cols, padded);
          packed.bytes.resize(packed.bytes.size() + 64);  // which kernels for AMX may read
          std::vector<float> c(static_cast<std::size_t>(n_rows) * 16, kCanary);
          product.multiply({.a = packed.bytes.data(),
                            .n_rows = n_rows,
                            .tiles = tile,
                            .tile_bytes = n_cols * 16,
                            .n_tiles = 1,
                            .k = n_cols,
                            .c = c.data(),
                            .c_stride = 16});
          double largest_error = 0.0;
          for (int m = 0; m < n_rows; ++m) {
            const double scale = has_row_scale(product.act) ? double{packed.scales[static_cast<std::size_t>(m)]} : 1.0;
            for (std::int64_t row = 0; row < 16; ++row) {
              double sum = 0.0;
              double squares = 0.0;
              for (std::int64_t k = 0; k < n_cols; ++k) {
                const double term = weight(row, k) * double{x[static_cast<std::size_t>(m * n_cols + k)]};
                sum += term;
                squares += term * term;
              }
              const double found = scale * double{c[static_cast<std::size_t>(m * 16 + row)]};
              largest_error =
                  std::max(largest_error, std::fabs(found - sum) / std::max(std::sqrt(squares), std::fabs(sum)));
            }
          }
          CHECK(largest_error < 2e-5);
        }
      }
    }
  }
}

/// How many codes an encoding in blocks of GGUF has, and how many values an integer scale or minimum of a part may have.
struct BlockRanges {
  int n_codes = 0;
  int n_whole = 0;
  bool is_on_curve = false;
};
BlockRanges block_ranges(WeightEncoding encoding) {
  switch (encoding) {
    case WeightEncoding::kQ2K:
      return {4, 16};
    case WeightEncoding::kQ3K:
      return {8, 64};
    case WeightEncoding::kQ4K:
      return {16, 64};
    case WeightEncoding::kQ5K:
      return {32, 64};
    case WeightEncoding::kQ6K:
      return {64, 256};
    case WeightEncoding::kIq4Xs:
      return {16, 64, true};
    case WeightEncoding::kIq4Nl:
      return {16, 0, true};
    case WeightEncoding::kQ41:
      return {16, 0};
    default:
      return {32, 0};
  }
}

/// One tile of random codes, with a random scale for every row and group of 16, 32 or 128 columns. For nvfp4 the weights are without the
/// global scale, which no tile has.
struct GroupTile {
  GroupTile(WeightEncoding encoding, std::int64_t n_columns) : n_cols(n_columns) {
    const TileLayout layout = tile_layout(encoding);
    k_padded = (n_cols + layout.k_multiple - 1) / layout.k_multiple * layout.k_multiple;
    bytes = k_padded / layout.k_multiple * layout.bytes_per_multiple;
    storage.resize(static_cast<std::size_t>(bytes) + 64);
    const std::int64_t largest = has_int4_codes(encoding) ? 7 : 127;
    const bool has_zeros = encoding == WeightEncoding::kInt4Group32Zero;
    const std::int64_t n_floats = scales_per_row(encoding, n_cols);
    const std::int64_t n_groups = has_zeros ? n_floats / 2 : n_floats;
    const bool is_fp8 = has_fp8_codes(encoding);
    const bool is_nvfp4 = encoding == WeightEncoding::kNvfp4Group16;
    const std::int64_t columns = is_fp8 ? kFp8GroupSize : is_nvfp4 ? kNvfp4GroupSize : kScaleGroupSize;
    TilePacker packer(encoding, n_cols);
    const std::span<std::byte> values = packer.values(kTileRows);
    const std::span<float> scales = packer.scales(kTileRows);
    for (std::size_t i = 0; i < scales.size(); ++i) {
      scales[i] = to_float(to_f16(static_cast<float>(0.001 + 0.02 * random_unit(21, i))));
      if (encoding == WeightEncoding::kMxfp4Group32) scales[i] = to_float(to_e8m0(scales[i]));
      // All E4M3 numbers but the negative ones, which no publisher writes, and NaN.
      if (is_nvfp4) scales[i] = to_float(E4m3{static_cast<std::uint8_t>(random_bits(26, i) % 127)});
      const bool is_zero = has_zeros && static_cast<std::int64_t>(i) % n_floats >= n_groups;
      if (is_zero) scales[i] = static_cast<float>(random_bits(24, i) % 16) - 8.0F;
    }
    if (has_blocks(encoding)) {
      fill_blocks(encoding, values, scales);
      packer.pack(kTileRows, tile());
      return;
    }
    for (std::int64_t i = 0; i < kTileRows * n_cols; ++i) {
      const std::uint64_t bits = random_bits(22, static_cast<std::uint64_t>(i));
      // The range includes both ends, which the table of BF16 bits must reach; published weights have the least code.
      const std::int64_t q =
          static_cast<std::int64_t>(bits % static_cast<std::uint64_t>(2 * largest + 2)) - largest - 1;
      const std::int64_t group = i / n_cols * n_floats + (is_nvfp4 ? 1 : 0) + i % n_cols / columns;
      const float scale = scales[static_cast<std::size_t>(group)];
      if (is_fp8) {
        const E4m3 code{static_cast<std::uint8_t>(bits % 127 + (bits & 1024 ? 128 : 0))};
        values[static_cast<std::size_t>(i)] = static_cast<std::byte>(code.bits);
        weights.push_back(scale * to_float(code));
        continue;
      }
      if (has_e2m1_codes(encoding)) {
        const E2m1 code{static_cast<std::uint8_t>(bits % 16)};
        values[static_cast<std::size_t>(i)] = static_cast<std::byte>(code.bits);
        weights.push_back(scale * to_float(code));
        continue;
      }
      values[static_cast<std::size_t>(i)] = static_cast<std::byte>(static_cast<std::int8_t>(q));
      const float zero = has_zeros ? scales[static_cast<std::size_t>(group + n_groups)] : 0.0F;
      weights.push_back(scale * (static_cast<float>(q) - zero));
    }
    packer.pack(kTileRows, tile());
  }
  std::byte* tile() {
    return reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(storage.data()) + 63) / 64 * 64);
  }
  /// Fills codes, and integer scales and minima, over their whole ranges, and computes the weights as ggml defines them.
  void fill_blocks(WeightEncoding encoding, std::span<std::byte> values, std::span<float> scales) {
    const BlockForm form = block_form(encoding);
    const BlockRanges ranges = block_ranges(encoding);
    const auto n_floats = static_cast<std::size_t>(form.n_floats());
    const auto n_units = static_cast<std::size_t>(form.n_units());
    for (std::size_t i = 0; i < scales.size(); ++i) {
      if (i % n_floats < n_units) continue;  // FP16 numbers are there already
      const auto bits = static_cast<int>(random_bits(25, i) % static_cast<std::uint64_t>(ranges.n_whole));
      scales[i] = static_cast<float>(form.has_minima ? bits : bits - ranges.n_whole / 2);
    }
    const auto block_cols = static_cast<std::size_t>(form.n_cols);
    const auto part_cols = static_cast<std::size_t>(form.n_parts() > 0 ? form.part_cols : form.n_cols);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto bits = static_cast<int>(random_bits(26, i) % static_cast<std::uint64_t>(ranges.n_codes));
      const int q = ranges.is_on_curve ? kFourBitCurve[static_cast<std::size_t>(bits)]
                    : form.has_minima  ? bits
                                       : bits - ranges.n_codes / 2;
      values[i] = static_cast<std::byte>(static_cast<std::int8_t>(q));
      const std::span<const float> block = scales.subspan(i / block_cols * n_floats, n_floats);
      const std::size_t part = i % block_cols / part_cols;
      const float scale = form.n_parts() > 0 ? block[0] * block[n_units + part] : block[0];
      float value = scale * static_cast<float>(q);
      if (form.has_minima) {
        const std::size_t place = n_units + static_cast<std::size_t>(form.n_parts()) + part;
        value -= form.n_parts() > 0 ? block[1] * block[place] : block[1];
      }
      weights.push_back(value);
    }
  }

  std::int64_t n_cols;
  std::int64_t k_padded = 0;
  std::int64_t bytes = 0;
  std::vector<float> weights;  ///< [16, n_cols], scaled
  std::vector<std::byte> storage;
};

/// Multiplies 1 to max_rows rows by one tile, which holds `weight` in the product's format.
void check_group_product(const KernelTable& table, const ProductKernel& product, const GroupTile& weight,
                         const std::byte* tile, std::int64_t tile_bytes) {
  const std::int64_t n_cols = weight.n_cols;
  const bool has_quantized_rows = has_row_scale(product.act) && !has_digits(product.act);
  REQUIRE(weight.k_padded % product.k_multiple == 0);
  for (int n_rows = 1; n_rows <= product.max_rows; ++n_rows) {
    CAPTURE(product.name, n_cols, n_rows);
    Values x(n_cols * n_rows, 23);
    // Integers with 127 among them are quantized to themselves, and eighths up to 2 are exact in BF16, so the only error
    // is that of the sums.
    for (std::int64_t i = 0; i < n_cols * n_rows; ++i) {
      float& value = x.data()[i];
      value = has_quantized_rows ? std::clamp(std::nearbyint(60.0F * value), -127.0F, 127.0F)
                                 : std::nearbyint(8.0F * value) / 8.0F;
      if (has_quantized_rows && i % n_cols == 0) value = i % 2 == 0 ? 127.0F : -127.0F;
    }
    std::vector<float> packed(static_cast<std::size_t>(weight.k_padded * n_rows));
    std::vector<float> row_scales(static_cast<std::size_t>(n_rows), 1.0F);
    table.pack({.x = x.data(),
                .x_stride = n_cols,
                .n_rows = n_rows,
                .k = n_cols,
                .k_padded = weight.k_padded,
                .vec = product.vec,
                .act = product.act,
                .out = packed.data(),
                .row_scales = row_scales.data()});
    std::vector<float> c(static_cast<std::size_t>(n_rows) * 16, kCanary);
    product.multiply({.a = packed.data(),
                      .n_rows = n_rows,
                      .tiles = tile,
                      .tile_bytes = tile_bytes,
                      .n_tiles = 1,
                      .k = weight.k_padded,
                      .c = c.data(),
                      .c_stride = 16});
    for (int m = 0; m < n_rows; ++m) {
      const float row_scale = row_scales[static_cast<std::size_t>(m)];
      if (!has_digits(product.act)) REQUIRE(row_scale == 1.0F);  // the initial value, if the kernel writes none
      // The error of each activation in digits (activation_digits-inl.h, matmul_word_digits-inl.h), in which the scale is the largest
      // activation divided by the largest digit.
      const double largest_digit = product.act == ActType::kDigitWords ? 32767.0 : 127.0;
      const double rest = has_digits(product.act) ? largest_digit * double{row_scale} * 0x1p-23 : 0.0;
      for (std::int64_t row = 0; row < 16; ++row) {
        double sum = 0.0;
        double magnitude = 0.0;
        double weights_sum = 0.0;
        for (std::int64_t k = 0; k < n_cols; ++k) {
          const double term =
              double{x.data()[m * n_cols + k]} * double{weight.weights[static_cast<std::size_t>(row * n_cols + k)]};
          sum += term;
          magnitude += std::fabs(term);
          weights_sum += std::fabs(double{weight.weights[static_cast<std::size_t>(row * n_cols + k)]});
        }
        // The error of an f32 sum of n terms is at most n rounding errors of the sum of their magnitudes.
        const double found = double{c[static_cast<std::size_t>(m * 16 + row)]} * double{row_scale};
        CHECK(std::fabs(found - sum) <= double(n_cols + 2) * 0x1p-24 * magnitude + rest * weights_sum);
      }
    }
  }
}

/// The value of column k of a row in a tile of two BF16 pieces.
float value_of_pieces(const std::byte* tile, std::int64_t row, std::int64_t k) {
  float value = 0.0F;
  for (std::int64_t piece = 0; piece < 2; ++piece) {
    std::uint16_t bits = 0;
    const std::int64_t place = (k / 32 * 2 + piece) * 512 + (k % 32 / 2 * 16 + row) * 2 + k % 2;
    std::memcpy(&bits, tile + 2 * place, sizeof bits);
    value += to_float(Bf16{bits});
  }
  return value;
}

/// Checks that a tile is unpacked to its weights: exactly in f32 or pieces, or rounded half to even in BF16. Checks nothing where it is not
/// unpacked, or is unpacked to kInt8GroupOffset.
void check_unpacked(const Unpacking& unpacking, GroupTile& weight) {
  if (unpacking.unpack == nullptr || unpacking.into == Product::kInt8GroupOffset) return;
  CAPTURE(int(unpacking.into), weight.n_cols);
  std::vector<std::byte> storage(static_cast<std::size_t>(weight.k_padded * 64) + 64);
  auto* const out = reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(storage.data()) + 63) / 64 * 64);
  unpacking.unpack(weight.tile(), weight.k_padded, out);
  for (std::int64_t row = 0; row < 16; ++row) {
    for (std::int64_t k = 0; k < weight.k_padded; ++k) {
      const float value = k < weight.n_cols ? weight.weights[static_cast<std::size_t>(row * weight.n_cols + k)] : 0.0F;
      if (unpacking.into == Product::kF32) {
        float found = 0.0F;
        std::memcpy(&found, out + (k * 16 + row) * 4, sizeof found);
        CHECK(found == value);
      } else if (unpacking.into == Product::kTwoPiecesQuantized) {
        CHECK(value_of_pieces(out, row, k) == value);
      } else {
        REQUIRE(unpacking.into == Product::kBf16);
        std::uint16_t found = 0;
        std::memcpy(&found, out + ((k / 2 * 16 + row) * 2 + k % 2) * 2, sizeof found);
        CHECK(to_float(Bf16{found}) == round_to_bf16(value));  // a zero may have either sign
      }
    }
  }
}

TEST_CASE(
    "products with a scale for a group of columns are those of the scaled weights, for every row count of a block") {
  const std::pair<WeightEncoding, Product> formats[] = {
      {WeightEncoding::kInt8Group32, Product::kInt8Group}, {WeightEncoding::kInt8Group32, Product::kInt8GroupQuantized},
      {WeightEncoding::kInt4Group32, Product::kInt4},      {WeightEncoding::kInt4Group32Zero, Product::kInt4Zero},
      {WeightEncoding::kFp8Group128, Product::kFp8Group},  {WeightEncoding::kInt4Group32, Product::kInt4Quantized},
      {WeightEncoding::kMxfp4Group32, Product::kMxfp4},    {WeightEncoding::kNvfp4Group16, Product::kNvfp4}};
  for (const auto& [encoding, index] : formats) {
    for (const std::int64_t n_cols : {1, 31, 32, 33, 64, 100, 224}) {
      GroupTile weight(encoding, n_cols);
      for (const Isa isa : usable_isas()) {
        CAPTURE(to_string(encoding), std::string(to_string(isa)));
        const KernelTable& table = kernel_table(isa);
        const ProductKernel& product = table.products[int(index)];
        check_group_product(table, product, weight, weight.tile(), weight.bytes);
        if (product.many != nullptr) check_group_product(table, *product.many, weight, weight.tile(), weight.bytes);
      }
    }
  }
}

TEST_CASE("products of blocks of GGUF are those of their values, to which they are unpacked") {
  const std::pair<WeightEncoding, Product> formats[] = {
      {WeightEncoding::kQ4K, Product::kQ4K}, {WeightEncoding::kQ5K, Product::kQ5K},
      {WeightEncoding::kQ6K, Product::kQ6K}, {WeightEncoding::kQ2K, Product::kQ2K},
      {WeightEncoding::kQ3K, Product::kQ3K}, {WeightEncoding::kIq4Xs, Product::kIq4Xs},
      {WeightEncoding::kQ41, Product::kQ41}, {WeightEncoding::kQ50, Product::kQ50},
      {WeightEncoding::kQ51, Product::kQ51}, {WeightEncoding::kIq4Nl, Product::kIq4Nl}};
  for (const auto& [encoding, index] : formats) {
    const std::int64_t block_cols = block_form(encoding).n_cols;
    for (const std::int64_t n_cols : {block_cols, 3 * block_cols}) {
      GroupTile weight(encoding, n_cols);
      for (const Isa isa : usable_isas()) {
        CAPTURE(to_string(encoding), std::string(to_string(isa)), n_cols);
        const KernelTable& table = kernel_table(isa);
        const ProductKernel& product = table.products[int(index)];
        check_group_product(table, product, weight, weight.tile(), weight.bytes);
        if (product.many != nullptr) check_group_product(table, *product.many, weight, weight.tile(), weight.bytes);
        check_unpacked(table.unpack[int(index)], weight);
      }
      // The functions that unpack for AMX need no AMX themselves.
      if (usable_isas().back() == Isa::kAvx512Bf16) {
        check_unpacked(kernel_table(Isa::kAmx).unpack[int(index)], weight);
      }
    }
  }
}

TEST_CASE("groups with offsets give the same products as the groups that they were unpacked from") {
  const std::pair<WeightEncoding, Product> formats[] = {{WeightEncoding::kInt8Group32, Product::kInt8GroupQuantized},
                                                        {WeightEncoding::kInt4Group32, Product::kInt4Quantized}};
  for (const auto& [encoding, index] : formats) {
    for (const std::int64_t n_cols : {1, 32, 77, 160}) {
      GroupTile weight(encoding, n_cols);
      const std::int64_t tile_bytes = weight.k_padded / kGroupColumns * kOffsetGroupBytes;
      for (const Isa isa : usable_isas()) {
        const KernelTable& table = kernel_table(isa);
        const Unpacking& unpacking = table.unpack[int(index)];
        if (unpacking.unpack == nullptr || unpacking.into != Product::kInt8GroupOffset) continue;
        CAPTURE(to_string(encoding), std::string(to_string(isa)));
        std::vector<std::byte> storage(static_cast<std::size_t>(tile_bytes) + 64);
        auto* const out =
            reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(storage.data()) + 63) / 64 * 64);
        unpacking.unpack(weight.tile(), weight.k_padded, out);
        check_group_product(table, table.products[int(Product::kInt8GroupOffset)], weight, out, tile_bytes);
      }
    }
  }
}

TEST_CASE("groups are unpacked to f32 tiles or pieces exactly, or to BF16 tiles rounded half to even") {
  std::vector<Isa> isas(usable_isas().begin(), usable_isas().end());
  // The functions that unpack for AMX need no AMX themselves.
  if (isas.back() == Isa::kAvx512Bf16) isas.push_back(Isa::kAmx);
  for (const Isa isa : isas) {
    const KernelTable& table = kernel_table(isa);
    const std::pair<WeightEncoding, Product> formats[] = {
        {WeightEncoding::kInt8Group32, Product::kInt8Group},    {WeightEncoding::kInt4Group32, Product::kInt4},
        {WeightEncoding::kInt4Group32Zero, Product::kInt4Zero}, {WeightEncoding::kFp8Group128, Product::kFp8Group},
        {WeightEncoding::kMxfp4Group32, Product::kMxfp4},       {WeightEncoding::kNvfp4Group16, Product::kNvfp4},
        {WeightEncoding::kInt4Group32, Product::kInt4Quantized}};
    for (const auto& [encoding, product] : formats) {
      const Unpacking& unpacking = table.unpack[int(product)];
      if (unpacking.unpack == nullptr) continue;
      for (const std::int64_t n_cols : {1, 32, 77, 160}) {
        CAPTURE(std::string(to_string(isa)), int(encoding), n_cols);
        GroupTile weight(encoding, n_cols);
        check_unpacked(unpacking, weight);
      }
    }
  }
}

TEST_CASE("every FP16 number is unpacked to two BF16 pieces exactly, and padded with zeros to whole steps") {
  // The functions that unpack for AMX need no AMX themselves.
  if (usable_isas().back() != Isa::kAvx512Bf16 && usable_isas().back() != Isa::kAmx) return;
  const Unpacking& unpacking = kernel_table(Isa::kAmx).unpack[int(Product::kF16)];
  REQUIRE(unpacking.into == Product::kTwoPieces);
  for (const std::int64_t n_cols : {1, 2, 31, 32, 33, 4096}) {
    CAPTURE(n_cols);
    const std::int64_t n_padded = (n_cols + 31) / 32 * 32;
    std::vector<std::uint16_t> tile(static_cast<std::size_t>(n_cols * 16));
    for (std::size_t i = 0; i < tile.size(); ++i) {
      tile[i] = static_cast<std::uint16_t>(i);
      if ((tile[i] & 0x7c00U) == 0x7c00U) tile[i] = 0;  // neither infinite nor NaN
    }
    std::vector<std::byte> storage(static_cast<std::size_t>(n_padded * 64) + 64, std::byte{0x5a});
    auto* const out = reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(storage.data()) + 63) / 64 * 64);
    unpacking.unpack(reinterpret_cast<const std::byte*>(tile.data()), n_cols, out);
    int n_wrong = 0;
    for (std::int64_t k = 0; k < n_padded; ++k) {
      for (std::int64_t row = 0; row < 16; ++row) {
        const float value = k < n_cols ? to_float(F16{tile[static_cast<std::size_t>(k * 16 + row)]}) : 0.0F;
        if (value_of_pieces(out, row, k) != value) ++n_wrong;
      }
    }
    CHECK(n_wrong == 0);
  }
}

TEST_CASE("row blocks cover all rows once and differ by at most one row") {
  for (const int max_rows : {3, 6, 12}) {
    for (int n = 1; n <= 100; ++n) {
      const int n_blocks = (n + max_rows - 1) / max_rows;
      CHECK(row_block_begin(n, max_rows, 0) == 0);
      CHECK(row_block_begin(n, max_rows, n_blocks) == n);
      for (int block = 0; block < n_blocks; ++block) {
        const int size = row_block_begin(n, max_rows, block + 1) - row_block_begin(n, max_rows, block);
        CHECK(size >= n / n_blocks);
        CHECK(size <= max_rows);
      }
    }
  }
}

}  // namespace
}  // namespace secondsource::cpu
