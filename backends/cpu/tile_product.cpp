#include "cpu/tile_product.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "core/checked.h"
#include "cpu/scratch.h"

namespace secondsource::cpu {

Product product_of(WeightEncoding encoding, ActQuant act) {
  switch (encoding) {
    case WeightEncoding::kF32:
      return Product::kF32;
    case WeightEncoding::kBf16:
      return Product::kBf16;
    case WeightEncoding::kF16:
      return Product::kF16;
    case WeightEncoding::kInt8PerRow:
      return has_int8_values(act) ? Product::kInt8Quantized : Product::kInt8;
    case WeightEncoding::kInt8Group32:
      return has_int8_values(act) ? Product::kInt8GroupQuantized : Product::kInt8Group;
    case WeightEncoding::kInt4Group32:
      return has_int8_values(act) ? Product::kInt4Quantized : Product::kInt4;
    case WeightEncoding::kFp8PerRow:
      return Product::kFp8;
    case WeightEncoding::kInt4Group32Zero:
      return Product::kInt4Zero;
    case WeightEncoding::kFp8Group128:
      return Product::kFp8Group;
    case WeightEncoding::kMxfp4Group32:
      return Product::kMxfp4;
    case WeightEncoding::kNvfp4Group16:
      return act == ActQuant::kNvfp4Static ? Product::kNvfp4Quantized : Product::kNvfp4;
    case WeightEncoding::kQ2K:
      return Product::kQ2K;
    case WeightEncoding::kQ3K:
      return Product::kQ3K;
    case WeightEncoding::kIq4Xs:
      return Product::kIq4Xs;
    case WeightEncoding::kQ41:
      return Product::kQ41;
    case WeightEncoding::kQ50:
      return Product::kQ50;
    case WeightEncoding::kQ51:
      return Product::kQ51;
    case WeightEncoding::kIq4Nl:
      return Product::kIq4Nl;
    case WeightEncoding::kQ4K:
      return Product::kQ4K;
    case WeightEncoding::kQ5K:
      return Product::kQ5K;
    case WeightEncoding::kQ6K:
      return Product::kQ6K;
  }
  return Product::kF32;
}

ProductKernel kernel_of(const KernelTable& table, Product product, ActQuant act, std::int64_t n_rows) {
  ProductKernel kernel = kernel_for_rows(table.products[int(product)], n_rows);
  if (has_fp8_rows(act)) kernel.act = with_e4m3(kernel.act);
  if (act == ActQuant::kNvfp4Static) kernel.act = with_nvfp4(kernel.act);
  if (act == ActQuant::kFp8PerGroup128) kernel.act = ActType::kE4m3Groups;
  if (act == ActQuant::kFp8PerGroup128E8m0) kernel.act = ActType::kE4m3GroupsE8m0;
  return kernel;
}

int weight_pieces(Product product) {
  return product == Product::kTwoPieces || product == Product::kTwoPiecesQuantized ? 2 : 1;
}

std::int64_t unpacked_bytes(Product into, std::int64_t n_columns) {
  if (into == Product::kInt8GroupOffset) return n_columns / kGroupColumns * kOffsetGroupBytes;
  if (into == Product::kF32) return n_columns * kTileRows * 4;
  if (weight_pieces(into) == 1) return n_columns * kTileRows * 2;
  return round_up<std::int64_t>(n_columns, kGroupColumns) * kTileRows * 2 * weight_pieces(into);
}

std::size_t bytes_of(ActType act) {
  return static_cast<std::size_t>(act_bytes(act));
}

std::int64_t packed_columns(std::int64_t k_padded, const ProductKernel& kernel) {
  return round_up<std::int64_t>(k_padded, kernel.vec);
}

int n_row_blocks(std::int64_t n_rows, int max_rows) {
  return static_cast<int>(ceil_divide<std::int64_t>(n_rows, max_rows));
}

std::vector<std::int64_t> row_counts_of_scratch(const KernelTable& table, Product product, std::int64_t most_rows) {
  const int from_rows = table.unpack[int(product)].from_rows;
  SS_CHECK(from_rows <= kUnpackFromRows || from_rows % kMaxRowBlock == 0, "rows at which scratch memory is looked at");
  std::vector<std::int64_t> counts(static_cast<std::size_t>(std::min<std::int64_t>(most_rows, kUnpackFromRows)));
  std::iota(counts.begin(), counts.end(), 1);
  counts.push_back(most_rows);
  const std::int64_t most_cut = std::min<std::int64_t>(most_rows, kMaxGroupBlocks * kMaxRowBlock);
  for (std::int64_t rows = kMaxRowBlock; rows <= most_cut; rows += kMaxRowBlock) counts.push_back(rows);
  return counts;
}

RowBlock packed_row_block(const ProductKernel& kernel, std::int64_t k_padded, const std::byte* rows,
                          std::int64_t n_rows, int block) {
  const int first = row_block_begin(static_cast<int>(n_rows), kernel.max_rows, block);
  const int end = row_block_begin(static_cast<int>(n_rows), kernel.max_rows, block + 1);
  const auto row_bytes = static_cast<std::size_t>(packed_columns(k_padded, kernel)) * bytes_of(kernel.act);
  return {.first = first, .n_rows = end - first, .activations = rows + static_cast<std::size_t>(first) * row_bytes};
}

std::int64_t slice_items(std::int64_t n_items, std::int64_t item_bytes, std::int64_t n_threads) {
  constexpr std::int64_t kMinBytes = std::int64_t{64} << 10;
  constexpr std::int64_t kMaxBytes = std::int64_t{256} << 10;
  constexpr std::int64_t kSlicesPerThread = 8;
  const std::int64_t bytes = std::clamp(n_items * item_bytes / (n_threads * kSlicesPerThread), kMinBytes, kMaxBytes);
  return std::max<std::int64_t>(1, bytes / item_bytes);
}

const char* isa_of(const ProductKernel& kernel, const KernelTable& table) {
  return *kernel.isa == '\0' ? table.isa : kernel.isa;
}

std::string unpacked_from(const PackedWeight& weight, const Unpacking& unpacking) {
  return unpacking.unpack == nullptr ? "" : fmt::format("unpacked {}, ", to_string(weight.spec.encoding));
}

Tiles unpack_tiles(const Unpacking& unpacking, const Tiles& tiles, std::int64_t n_tiles, std::int64_t n_columns,
                   std::span<std::byte> panel) {
  if (unpacking.unpack == nullptr) return tiles;
  const std::int64_t tile_bytes = unpacked_bytes(unpacking.into, n_columns);
  for (std::int64_t i = 0; i < n_tiles; ++i) {
    unpacking.unpack(tiles.first + i * tiles.tile_bytes, n_columns, panel.data() + i * tile_bytes);
  }
  return {panel.data(), tile_bytes};
}

std::size_t row_scales_bytes(std::int64_t n_rows) {
  return ScratchCutter::bytes_for<float>(static_cast<std::size_t>(n_rows));
}

std::size_t activation_bytes(std::int64_t n_rows, std::size_t row_bytes) {
  constexpr std::size_t kStepBytes = 128;
  return row_scales_bytes(n_rows) + static_cast<std::size_t>(n_rows) * row_bytes + kStepBytes;
}

PackedActivations place_activations(std::span<std::byte> scratch, std::int64_t n_rows) {
  return {reinterpret_cast<float*>(scratch.data()), scratch.data() + row_scales_bytes(n_rows)};
}

}  // namespace secondsource::cpu
