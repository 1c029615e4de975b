// The source of the AMX kernels over a software model of the instructions (amx_model.h), with every number of rows and with columns that do
// not fill a tile. The expected values come from plain loops in f64 and in integers. A model cannot show whether the real instructions do
// what the manual says, nor how fast they are: on a CPU with AMX the conformance suite runs the same source with them (isa=amx). The
// backend cpu-amx-model is the whole backend over this model, for that suite and the golden tests.

#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "core/e2m1.h"
#include "core/half.h"
#include "core/random.h"
#include "cpu/tile_packing.h"
#include "support/catch.h"
#include "unit/cpu/amx_model.h"

namespace secondsource::cpu {
namespace {

/// Bytes after packed activations that a kernel may read: those of one step of a row.
constexpr std::size_t kBehind = 128;

double random_value(std::uint64_t seed, std::int64_t i) {
  return 4.0 * random_unit(seed, static_cast<std::uint64_t>(i)) - 2.0;
}

/// Random rows, packed in the product's format.
struct Activations {
  Activations(const ProductKernel& product, int n_rows, std::int64_t k)
      : values(static_cast<std::size_t>(n_rows * k)), scales(static_cast<std::size_t>(n_rows)) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(random_value(5, static_cast<std::int64_t>(i)));
    }
    const std::int64_t padded = (k + product.vec - 1) / product.vec * product.vec;
    packed.resize(static_cast<std::size_t>(padded * n_rows) * 4 + kBehind);
    kernels_amx_model().pack({.x = values.data(),
                              .x_stride = k,
                              .n_rows = n_rows,
                              .k = k,
                              .k_padded = padded,
                              .vec = product.vec,
                              .act = product.act,
                              .out = packed.data(),
                              .row_scales = scales.data()});
  }
  std::vector<float> values;
  std::vector<float> scales;
  std::vector<std::byte> packed;
};

/// The product of `x` and packed weight tiles, [n_rows, 16 n_tiles]. Checks that nothing is written after it.
std::vector<float> multiplied(const ProductKernel& product, const Activations& x, const void* tiles,
                              std::int64_t tile_bytes, int n_tiles, std::int64_t k, const std::int32_t* row_sums) {
  constexpr float kCanary = 12345.0F;
  const int n_rows = static_cast<int>(x.scales.size());
  std::vector<float> c(static_cast<std::size_t>(n_rows * n_tiles * 16) + 1, kCanary);
  product.multiply({.a = x.packed.data(),
                    .n_rows = n_rows,
                    .tiles = static_cast<const std::byte*>(tiles),
                    .tile_bytes = tile_bytes,
                    .n_tiles = n_tiles,
                    .k = k,
                    .c = c.data(),
                    .c_stride = n_tiles * 16,
                    .row_sums = row_sums});
  CHECK(c.back() == kCanary);
  return c;
}

/// Random BF16 tiles, [k / 2][16][2] each.
struct Bf16Tiles {
  Bf16Tiles(int n_tiles, std::int64_t columns) : k(columns), bits(static_cast<std::size_t>(n_tiles * columns * 16)) {
    for (std::size_t i = 0; i < bits.size(); ++i) {
      bits[i] = to_bf16(static_cast<float>(random_value(6, static_cast<std::int64_t>(i)))).bits;
    }
  }
  /// The value of weight row n at column i.
  [[nodiscard]] double at(std::int64_t n, std::int64_t i) const {
    const std::int64_t place = n / 16 * k * 16 + (i / 2 * 16 + n % 16) * 2 + i % 2;
    return static_cast<double>(to_float(Bf16{bits[static_cast<std::size_t>(place)]}));
  }
  std::int64_t k;
  std::vector<std::uint16_t> bits;
};

/// Random int8 tiles, [k / 4][16][4] each, and the sum of each weight row.
struct Int8Tiles {
  Int8Tiles(int n_tiles, std::int64_t columns)
      : k(columns),
        values(static_cast<std::size_t>(n_tiles * columns * 16)),
        row_sums(static_cast<std::size_t>(n_tiles) * 16) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<std::int8_t>(std::lrint(63.0 * random_value(7, static_cast<std::int64_t>(i))));
    }
    for (std::int64_t n = 0; n < n_tiles * 16; ++n) {
      for (std::int64_t i = 0; i < k; ++i) row_sums[static_cast<std::size_t>(n)] += at(n, i);
    }
  }
  [[nodiscard]] int at(std::int64_t n, std::int64_t i) const {
    return int{values[static_cast<std::size_t>(n / 16 * k * 16 + (i / 4 * 16 + n % 16) * 4 + i % 4)]};
  }
  std::int64_t k;
  std::vector<std::int8_t> values;
  std::vector<std::int32_t> row_sums;
};

/// sum_i x[m, i] * w[n, i] of BF16 products, in f64. x: [rows, k] f32, rounded here.
double bf16_sum(std::span<const float> x, const Bf16Tiles& tiles, std::int64_t m, std::int64_t n) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < tiles.k; ++i) {
    sum += static_cast<double>(round_to_bf16(x[static_cast<std::size_t>(m * tiles.k + i)])) * tiles.at(n, i);
  }
  return sum;
}

/// The same for quantized activations, exact. scales: of the rows.
std::int64_t int8_sum(std::span<const float> x, std::span<const float> scales, const Int8Tiles& tiles, std::int64_t m,
                      std::int64_t n) {
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < tiles.k; ++i) {
    const float scale = scales[static_cast<std::size_t>(m)];
    sum += std::lrint(x[static_cast<std::size_t>(m * tiles.k + i)] / scale) * tiles.at(n, i);
  }
  return sum;
}

}  // namespace

TEST_CASE("BF16 products over tiles are those of plain loops, whatever the rows, columns and weight tiles") {
  const ProductKernel& product = kernels_amx_model().products[int(Product::kBf16)];
  for (const std::int64_t k : {2, 30, 32, 34, 64, 130}) {
    for (const int n_tiles : {1, 2, 3}) {
      const Bf16Tiles tiles(n_tiles, k);
      for (int n_rows = 1; n_rows <= product.max_rows; ++n_rows) {
        CAPTURE(k, n_tiles, n_rows);
        const Activations x(product, n_rows, k);
        const std::vector<float> c = multiplied(product, x, tiles.bits.data(), k * 32, n_tiles, k, nullptr);
        double worst = 0.0;
        for (int m = 0; m < n_rows; ++m) {
          for (std::int64_t n = 0; n < n_tiles * 16; ++n) {
            const double sum = bf16_sum(x.values, tiles, m, n);
            const double found = c[static_cast<std::size_t>(m * n_tiles * 16 + n)];
            worst = std::max(worst, std::fabs(found - sum) / (1.0 + std::fabs(sum)));
          }
        }
        CHECK(worst < 1e-5);
      }
    }
  }
}

TEST_CASE("int8 products over tiles are exact, whatever the rows, columns and weight tiles") {
  const ProductKernel& product = kernels_amx_model().products[int(Product::kInt8Quantized)];
  for (const std::int64_t k : {4, 60, 64, 68, 128, 200}) {
    for (const int n_tiles : {1, 2, 3}) {
      const Int8Tiles tiles(n_tiles, k);
      for (int n_rows = 1; n_rows <= product.max_rows; ++n_rows) {
        CAPTURE(k, n_tiles, n_rows);
        const Activations x(product, n_rows, k);
        const std::vector<float> c =
            multiplied(product, x, tiles.values.data(), k * 16, n_tiles, k, tiles.row_sums.data());
        int n_wrong = 0;
        for (int m = 0; m < n_rows; ++m) {
          for (std::int64_t n = 0; n < n_tiles * 16; ++n) {
            const std::int64_t sum = int8_sum(x.values, x.scales, tiles, m, n);
            if (c[static_cast<std::size_t>(m * n_tiles * 16 + n)] != static_cast<float>(sum)) ++n_wrong;
          }
        }
        CHECK(n_wrong == 0);
      }
    }
  }
}

TEST_CASE("int8 products by digits are those of plain loops, whatever the rows, columns and weight tiles") {
  const ProductKernel& product = kernels_amx_model().products[int(Product::kInt8)];
  for (const std::int64_t k : {4, 60, 64, 68, 128, 200}) {
    for (const int n_tiles : {1, 3}) {
      const Int8Tiles tiles(n_tiles, k);
      for (int n_rows = 1; n_rows <= product.max_rows; ++n_rows) {
        CAPTURE(k, n_tiles, n_rows);
        const Activations x(product, n_rows, k);
        const std::vector<float> c = multiplied(product, x, tiles.values.data(), k * 16, n_tiles, k, nullptr);
        double worst = 0.0;
        for (int m = 0; m < n_rows; ++m) {
          const double scale = x.scales[static_cast<std::size_t>(m)];
          for (std::int64_t n = 0; n < n_tiles * 16; ++n) {
            double sum = 0.0;
            double magnitude = 0.0;
            for (std::int64_t i = 0; i < k; ++i) {
              sum += double{x.values[static_cast<std::size_t>(m * k + i)]} * tiles.at(n, i);
              magnitude += std::abs(tiles.at(n, i));
            }
            // The error of digits, for each activation 2^-23 of the row's largest value 127 s, and three roundings of the sum.
            const double bound = (0x1p-23 + 3 * 0x1p-24) * 127.0 * scale * magnitude;
            const double found = double{c[static_cast<std::size_t>(m * n_tiles * 16 + n)]} * scale;
            worst = std::max(worst, std::fabs(found - sum) / bound);
          }
        }
        CHECK(worst <= 1.0);
      }
    }
  }
}

namespace {

/// Random tiles of int8-g32, int4 or mxfp4, packed as weights are, and their scaled values.
struct GroupTiles {
  GroupTiles(WeightEncoding encoding, int n_tiles, std::int64_t columns) : k(columns) {
    const TileLayout layout = tile_layout(encoding);
    tile_bytes = k / layout.k_multiple * layout.bytes_per_multiple;
    storage.resize(static_cast<std::size_t>(n_tiles * tile_bytes) + 64);
    const int largest = encoding == WeightEncoding::kInt4Group32 ? 7 : 127;
    const bool is_mxfp4 = encoding == WeightEncoding::kMxfp4Group32;
    TilePacker packer(encoding, k);
    for (int tile = 0; tile < n_tiles; ++tile) {
      const std::span<std::byte> values = packer.values(kTileRows);
      const std::span<float> scales = packer.scales(kTileRows);
      for (std::size_t i = 0; i < scales.size(); ++i) {
        scales[i] = to_float(
            to_f16(static_cast<float>(0.01 + random_unit(41, i + scales.size() * static_cast<std::size_t>(tile)))));
        if (is_mxfp4) scales[i] = to_float(to_e8m0(scales[i]));
      }
      for (std::int64_t i = 0; i < kTileRows * k; ++i) {
        const double unit = random_value(42, tile * kTileRows * k + i) / 2.0;
        const std::int64_t group = i / k * (k / kGroupColumns) + i % k / kGroupColumns;
        if (is_mxfp4) {
          const E2m1 code{static_cast<std::uint8_t>(random_bits(43, static_cast<std::uint64_t>(i)) % 16)};
          values[static_cast<std::size_t>(i)] = static_cast<std::byte>(code.bits);
          weights.push_back(double{scales[static_cast<std::size_t>(group)]} * to_float(code));
          continue;
        }
        const auto q = static_cast<std::int8_t>(i % 19 == 0 ? -largest - 1 : std::lrint(unit * largest));
        values[static_cast<std::size_t>(i)] = static_cast<std::byte>(q);
        weights.push_back(double{scales[static_cast<std::size_t>(group)]} * q);
      }
      packer.pack(kTileRows, tiles() + tile * tile_bytes);
    }
  }
  [[nodiscard]] std::byte* tiles() {
    return reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(storage.data()) + 63) / 64 * 64);
  }
  std::int64_t k;
  std::int64_t tile_bytes = 0;
  std::vector<double> weights;  ///< [16 * n_tiles, k]
  std::vector<std::byte> storage;
};

}  // namespace

TEST_CASE("products of groups over tiles are those of plain loops, with digits, pieces and quantized activations") {
  const std::pair<WeightEncoding, Product> formats[] = {{WeightEncoding::kInt8Group32, Product::kInt8Group},
                                                        {WeightEncoding::kInt8Group32, Product::kInt8GroupQuantized},
                                                        {WeightEncoding::kInt4Group32, Product::kInt4},
                                                        {WeightEncoding::kMxfp4Group32, Product::kMxfp4},
                                                        {WeightEncoding::kInt4Group32, Product::kInt4Quantized}};
  for (const auto& [encoding, index] : formats) {
    const ProductKernel& product = kernels_amx_model().products[int(index)];
    // One group to two chunks of four and one group.
    for (const std::int64_t k : {32, 96, 128, 160, 288}) {
      for (const int n_tiles : {1, 2}) {
        GroupTiles tiles(encoding, n_tiles, k);
        for (int n_rows = 1; n_rows <= product.max_rows; ++n_rows) {
          CAPTURE(product.name, int(product.act), k, n_tiles, n_rows);
          const Activations x(product, n_rows, k);
          const std::vector<float> c = multiplied(product, x, tiles.tiles(), tiles.tile_bytes, n_tiles, k, nullptr);
          double worst = 0.0;
          for (int m = 0; m < n_rows; ++m) {
            // Activations are in [-2, 2].
            const bool is_scaled = has_row_scale(product.act);
            const double scale = is_scaled ? double{x.scales[static_cast<std::size_t>(m)]} : 1.0;
            const double most = is_scaled ? 127.0 * scale : 2.0;
            for (std::int64_t n = 0; n < n_tiles * 16; ++n) {
              double sum = 0.0;
              double magnitude = 0.0;
              for (std::int64_t i = 0; i < k; ++i) {
                double value = x.values[static_cast<std::size_t>(m * k + i)];
                if (is_scaled && !has_digits(product.act)) value = scale * std::nearbyint(value / scale);
                const double w = tiles.weights[static_cast<std::size_t>(n * k + i)];
                sum += value * w;
                magnitude += std::fabs(w);
              }
              // The bound for digits is that of int8, with a rounding for each group and digit. Pieces have an error of 2^-16, and the f32
              // sum of k terms has k roundings for each piece.
              const double roundings =
                  is_scaled ? 4.0 * static_cast<double>(k / kGroupColumns) : 2.0 * static_cast<double>(k);
              const double bound = ((is_scaled ? 0x1p-23 : 0x1p-16) + roundings * 0x1p-24) * most * magnitude;
              const double found = double{c[static_cast<std::size_t>(m * n_tiles * 16 + n)]} * scale;
              worst = std::max(worst, std::fabs(found - sum) / bound);
            }
          }
          CHECK(worst <= 1.0);
        }
      }
    }
  }
}

namespace {

/// Row blocks as MatmulRunner packs them: one after the other, with sizes that differ by at most one, and kBehind bytes after the last.
struct Blocks {
  Blocks(const ProductKernel& product, int n_rows, std::int64_t k)
      : values(static_cast<std::size_t>(n_rows * k)), scales(static_cast<std::size_t>(n_rows)) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(random_value(8, static_cast<std::int64_t>(i)));
    }
    k_padded = (k + product.vec - 1) / product.vec * product.vec;
    const std::int64_t row_bytes = k_padded * act_bytes(product.act);
    packed.resize(static_cast<std::size_t>(n_rows * row_bytes) + kBehind);
    const int n_blocks = (n_rows + kMaxRowBlock - 1) / kMaxRowBlock;
    for (int i = 0; i < n_blocks; ++i) {
      const int first = row_block_begin(n_rows, kMaxRowBlock, i);
      const int n = row_block_begin(n_rows, kMaxRowBlock, i + 1) - first;
      std::byte* const at = packed.data() + first * row_bytes;
      kernels_amx_model().pack({.x = values.data() + first * k,
                                .x_stride = k,
                                .n_rows = n,
                                .k = k,
                                .k_padded = k_padded,
                                .vec = product.vec,
                                .act = product.act,
                                .out = at,
                                .row_scales = scales.data() + first});
      blocks.push_back({at, n});
    }
  }
  /// The blocks from column `k` on.
  [[nodiscard]] std::vector<ActivationBlock> from(std::int64_t k, const ProductKernel& product) const {
    std::vector<ActivationBlock> later = blocks;
    for (ActivationBlock& block : later) block.rows += k * act_bytes(product.act) * block.n_rows;
    return later;
  }
  std::vector<float> values;
  std::vector<float> scales;
  std::int64_t k_padded = 0;
  std::vector<std::byte> packed;
  std::vector<ActivationBlock> blocks;
};

/// The sums of blocks x one or two tiles, over the columns in two slices where there are enough.
std::vector<float> multiplied_in_slices(const ProductKernel& product, const Blocks& x, const std::byte* tiles,
                                        std::int64_t tile_bytes, int n_tiles, std::int64_t k,
                                        const std::int32_t* row_sums) {
  std::vector<float> c(x.blocks.size() * kBlockSums);
  const BlockKernel& kernel = *product.blocks;
  const std::int64_t slice = k > product.vec ? product.vec : k;
  kernel.configure(x.blocks.front().n_rows);
  for (std::int64_t first = 0; first < k; first += slice) {
    // The second slice takes all that is left.
    const std::int64_t end = first == 0 ? slice : k;
    const std::vector<ActivationBlock> blocks = x.from(first, product);
    const std::byte* const from = tiles + first * tile_bytes / k;
    kernel.multiply({.blocks = blocks.data(),
                     .n_blocks = static_cast<int>(blocks.size()),
                     .block_rows = x.blocks.front().n_rows,
                     .tiles = {from, n_tiles == 2 ? from + tile_bytes : nullptr},
                     .slice_bytes = (end - first) * tile_bytes / k,
                     .c = c.data(),
                     .accumulate = first > 0,
                     .next_tiles = {tiles, nullptr},
                     .next_bytes = tile_bytes});
    if (end == k) break;
  }
  for (std::size_t i = 0; i < x.blocks.size() && kernel.convert != nullptr; ++i) {
    kernel.convert(c.data() + i * kBlockSums, x.blocks[i].n_rows, n_tiles, row_sums);
  }
  kernel.release();
  return c;
}

/// Calls check(row, output column, sum) for each sum of the blocks.
template <typename Check>
void for_each_sum(const Blocks& x, const std::vector<float>& c, int n_tiles, const Check& check) {
  int row = 0;
  for (std::size_t i = 0; i < x.blocks.size(); ++i) {
    for (int m = 0; m < x.blocks[i].n_rows; ++m, ++row) {
      for (int n = 0; n < n_tiles * kTileRows; ++n) {
        check(row, n, c[i * kBlockSums + static_cast<std::size_t>(m * kBlockSumStride + n)]);
      }
    }
  }
}

}  // namespace

TEST_CASE("BF16 products in blocks are those of plain loops, whatever the rows, columns, slices and weight tiles") {
  const ProductKernel& product = kernels_amx_model().products[int(Product::kBf16)];
  for (const std::int64_t k : {2, 32, 34, 96, 130}) {
    for (const int n_tiles : {1, 2}) {
      const Bf16Tiles tiles(n_tiles, k);
      for (const int n_rows : {1, 2, 15, 16, 17, 31, 32, 33, 64, 65, 100}) {
        CAPTURE(k, n_tiles, n_rows);
        const Blocks x(product, n_rows, k);
        const std::vector<float> c = multiplied_in_slices(
            product, x, reinterpret_cast<const std::byte*>(tiles.bits.data()), k * 32, n_tiles, k, nullptr);
        double worst = 0.0;
        for_each_sum(x, c, n_tiles, [&](int m, int n, float found) {
          const double sum = bf16_sum(x.values, tiles, m, n);
          worst = std::max(worst, std::fabs(static_cast<double>(found) - sum) / (1.0 + std::fabs(sum)));
        });
        CHECK(worst < 1e-5);
      }
    }
  }
}

TEST_CASE("int8 products in blocks are exact, whatever the rows, columns, slices and weight tiles") {
  const ProductKernel& product = kernels_amx_model().products[int(Product::kInt8Quantized)];
  for (const std::int64_t k : {4, 64, 68, 192, 200}) {
    for (const int n_tiles : {1, 2}) {
      const Int8Tiles tiles(n_tiles, k);
      for (const int n_rows : {2, 16, 17, 33, 40, 65}) {
        CAPTURE(k, n_tiles, n_rows);
        const Blocks x(product, n_rows, k);
        const std::vector<float> c =
            multiplied_in_slices(product, x, reinterpret_cast<const std::byte*>(tiles.values.data()), k * 16, n_tiles,
                                 k, tiles.row_sums.data());
        int n_wrong = 0;
        for_each_sum(x, c, n_tiles, [&](int m, int n, float found) {
          const std::int64_t sum = int8_sum(x.values, x.scales, tiles, m, n);
          if (found != static_cast<float>(sum)) ++n_wrong;
        });
        CHECK(n_wrong == 0);
      }
    }
  }
}

namespace {

/// Random weights of 16 bits in two pieces, [k / 32][2][16][16][2] each.
struct PieceTiles {
  PieceTiles(int n_tiles, std::int64_t columns) : k(columns), bits(static_cast<std::size_t>(n_tiles * columns * 32)) {
    for (std::int64_t n = 0; n < n_tiles * 16; ++n) {
      for (std::int64_t i = 0; i < k; ++i) {
        const double value = std::nearbyint(16383.0 * random_value(9, n * k + i)) * 0x1p-14;
        const auto first = to_bf16(static_cast<float>(value));
        bits[place(n, i, 0)] = first.bits;
        bits[place(n, i, 1)] = to_bf16(static_cast<float>(value - double{to_float(first)})).bits;
        values.push_back(value);
      }
    }
  }
  [[nodiscard]] std::size_t place(std::int64_t n, std::int64_t i, std::int64_t piece) const {
    const std::int64_t operand = n / 16 * (k / 16) + i / 32 * 2 + piece;
    return static_cast<std::size_t>(operand * 512 + (i % 32 / 2 * 16 + n % 16) * 2 + i % 2);
  }
  [[nodiscard]] const std::byte* tiles() const { return reinterpret_cast<const std::byte*>(bits.data()); }
  [[nodiscard]] std::int64_t tile_bytes() const { return k * 64; }
  /// sum_i |x[m, i] w[n, i]| and sum_i x[m, i] w[n, i], in f64. x is taken as given or, if scale is above 0, quantized by it.
  [[nodiscard]] std::pair<double, double> sums(std::span<const float> x, double scale, std::int64_t m,
                                               std::int64_t n) const {
    double magnitude = 0.0;
    double sum = 0.0;
    for (std::int64_t i = 0; i < k; ++i) {
      double value = double{x[static_cast<std::size_t>(m * k + i)]};
      if (scale > 0.0) value = std::nearbyint(value / scale);
      const double term = value * values[static_cast<std::size_t>(n * k + i)];
      magnitude += std::fabs(term);
      sum += term;
    }
    return {magnitude, sum};
  }
  std::int64_t k;
  std::vector<std::uint16_t> bits;
  std::vector<double> values;  ///< [16 n_tiles, k]
};

}  // namespace

TEST_CASE("products of weights in two pieces are those of plain loops, in blocks and one block at a time") {
  for (const Product index : {Product::kTwoPieces, Product::kTwoPiecesQuantized}) {
    const ProductKernel& product = kernels_amx_model().products[int(index)];
    const bool is_quantized = index == Product::kTwoPiecesQuantized;
    for (const std::int64_t k : {32, 64, 160}) {
      for (const int n_tiles : {1, 2, 3}) {
        const PieceTiles tiles(n_tiles, k);
        for (const int n_rows : {1, 2, 15, 16, 17, 31, 32, 33, 65}) {
          CAPTURE(int(index), k, n_tiles, n_rows);
          double worst = 0.0;
          const auto check = [&](std::span<const float> x, std::span<const float> scales, int m, int n, float found) {
            const auto [magnitude, sum] =
                tiles.sums(x, is_quantized ? double{scales[static_cast<std::size_t>(m)]} : 0.0, m, n);
            // The two pieces of an activation miss it by up to 2^-16 of its magnitude. The product of the two second pieces is left
            // out, which is up to 2^-15 of the whole product. A sum of 3 k terms in f32 is rounded 3 k times.
            const double bound =
                ((is_quantized ? 0.0 : 0x1p-16 + 0x1p-15) + 3.0 * static_cast<double>(k) * 0x1p-24) * magnitude;
            worst = std::max(worst, std::fabs(double{found} - sum) / bound);
          };
          if (n_tiles <= 2) {
            const Blocks x(product, n_rows, k);
            const std::vector<float> c =
                multiplied_in_slices(product, x, tiles.tiles(), tiles.tile_bytes(), n_tiles, k, nullptr);
            for_each_sum(x, c, n_tiles, [&](int m, int n, float found) { check(x.values, x.scales, m, n, found); });
          }
          if (n_rows <= product.max_rows) {
            const Activations x(product, n_rows, k);
            const std::vector<float> c = multiplied(product, x, tiles.tiles(), tiles.tile_bytes(), n_tiles, k, nullptr);
            for (int m = 0; m < n_rows; ++m) {
              for (int n = 0; n < n_tiles * 16; ++n) {
                check(x.values, x.scales, m, n, c[static_cast<std::size_t>(m * n_tiles * 16 + n)]);
              }
            }
          }
          CHECK(worst <= 1.0);
        }
      }
    }
  }
}

}  // namespace secondsource::cpu
