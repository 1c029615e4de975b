#pragma once
// The paged key-value cache in the layout that the attention kernels read: [layer][K, V][KV head][page], so that
// adjacent pages are one stream for a head. Per layer, head and page:
//
//   K  one tile for 16 tokens: [head_dim / vec][16 tokens][vec]
//   V  one tile for 16 dimensions and 16 tokens, tokens inside:
//      [dim tile][token tile][16 tokens / vec][16 dims][vec]
//
// with vec 1 for f32 and f16, 2 for bf16 and 4 for int8, so that scores and outputs are computed by the matmul policies
// without shuffles. Dimensions are padded with zeros, to a multiple of vec for K and of 16 for V. int8 has one f32 scale
// per token and head, after the tiles of K and again after those of V: [token tile][16].
//
// Latents (HeadShape::latent_dim) are stored as K only; value_tile_of() makes tiles of V from them when they are read.

#include <cstdint>
#include <memory>
#include <span>

#include "backend/backend.h"
#include "backend_kit/host_memory.h"
#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {

class KvPool {
 public:
  /// Errors: kInvalidInput, kUnsupported (pages that are not whole tiles, odd head_dim), kOutOfMemory.
  static Result<KvPool> create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages);

  [[nodiscard]] const KvSpec& spec() const { return spec_; }
  [[nodiscard]] std::int64_t n_pages() const { return n_pages_; }
  [[nodiscard]] std::span<std::byte> memory() const { return {buffer_.data(), buffer_.size_bytes()}; }
  [[nodiscard]] bool has_scales() const { return spec_.dtype == DType::kI8; }
  /// head_dim, padded to a multiple of vec.
  [[nodiscard]] std::int64_t padded_head_dim() const { return padded_head_dim_; }
  /// How many tiles of 16 dimensions V has.
  [[nodiscard]] int n_dim_tiles() const { return n_dim_tiles_; }
  [[nodiscard]] bool has_latents() const { return spec_.latent_dim > 0; }
  /// Bytes from one dimension tile of V to the next.
  [[nodiscard]] std::int64_t v_dim_stride() const { return v_dim_stride_; }
  /// Bytes of V for one page and head. For latents, whose V is not stored, the bytes for 16 tokens.
  [[nodiscard]] std::int64_t v_block_bytes() const { return v_tiles_bytes() + v_scale_bytes_; }

  /// K and V of one page and head; null: V of latents.
  struct PageBlocks {
    const std::byte* keys = nullptr;
    const std::byte* values = nullptr;
  };
  [[nodiscard]] PageBlocks blocks_of(std::int32_t layer, std::int64_t page, std::int32_t head) const;

  /// 16 tokens of a page. The slices are what to prefetch along with them: K and V of a page are each cut, in the order of memory, into
  /// as many equal slices as the page has tiles. Null: V of latents, and scales of other types than int8.
  struct Tile {
    const std::byte* keys = nullptr;
    const std::byte* k_slice = nullptr;
    const float* k_scales = nullptr;
    const std::byte* values = nullptr;  ///< the first dimension tile
    const std::byte* v_slice = nullptr;
    const float* v_scales = nullptr;
  };
  [[nodiscard]] Tile tile_of(const PageBlocks& blocks, std::int64_t index) const {
    Tile tile{.keys = blocks.keys + index * k_tile_bytes_, .k_slice = blocks.keys + index * k_slice_bytes_};
    if (has_scales()) tile.k_scales = scales_of(blocks.keys + k_tiles_bytes(), index);
    if (has_latents()) return tile;
    tile.values = blocks.values + index * v_tile_bytes_;
    tile.v_slice = blocks.values + index * v_slice_bytes_;
    if (has_scales()) tile.v_scales = scales_of(blocks.values + v_tiles_bytes(), index);
    return tile;
  }
  [[nodiscard]] std::int64_t k_slice_bytes() const { return k_slice_bytes_; }
  [[nodiscard]] std::int64_t v_slice_bytes() const { return v_slice_bytes_; }

  /// Copies a V tile, with all its dimension tiles, and zeroes the tokens from `n_tokens` on. out: v_block_bytes().
  void copy_value_tile(const std::byte* tile, int n_tokens, std::span<std::byte> out) const;
  /// Makes a V tile, with all its dimension tiles, from the latents in a K tile, with zeros for the tokens from `n_tokens` on. out:
  /// v_block_bytes().
  void value_tile_of(const std::byte* k_tile, int n_tokens, std::span<std::byte> out) const;
  /// Copies the scales of a tile to `out`, after the place of the tile, with zeros for the tokens from `n_tokens` on. Returns the address
  /// of the copy.
  const float* copy_value_scales(const float* scales, int n_tokens, std::span<std::byte> out) const;

  /// Stores one head of one token, rounded to the cache's type. key, value: [head_dim], of latents no value; for int8 they
  /// are overwritten with the quantized integers.
  void write(std::int32_t layer, std::int64_t slot, std::int32_t head, std::span<float> key, std::span<float> value);

  Result<void> copy_pages(std::span<const PageCopy> copies);
  Result<void> export_range(const KvRange& range, std::span<float> out) const;

 private:
  /// Bytes of V that are stored for one page and head.
  [[nodiscard]] std::int64_t stored_v_bytes() const { return has_latents() ? 0 : v_block_bytes(); }
  static const float* scales_of(const std::byte* first, std::int64_t tile) {
    return reinterpret_cast<const float*>(first) + tile * kTileRows;
  }
  /// The tile of a token of a page.
  [[nodiscard]] Tile tile_at(std::int32_t layer, std::int64_t page, std::int32_t head, std::int32_t token) const {
    return tile_of(blocks_of(layer, page, head), token / kTileRows);
  }
  template <typename T>
  void transpose_latents(const std::byte* k_tile, int n_tokens, std::byte* out) const;
  [[nodiscard]] std::int64_t k_tiles_bytes() const { return k_block_bytes_ - scale_bytes_; }
  [[nodiscard]] std::int64_t v_tiles_bytes() const { return v_dim_stride_ * n_dim_tiles_; }
  template <typename T, typename Convert>
  void put(std::int32_t token, std::span<const float> key, std::span<const float> value, std::byte* keys,
           std::byte* values, const Convert& convert) const;
  [[nodiscard]] float load(const std::byte* tile, std::int64_t index) const;
  [[nodiscard]] std::int64_t key_index(std::int32_t token, std::int32_t dim) const;
  [[nodiscard]] std::int64_t value_index(std::int32_t token, std::int32_t dim) const;

  KvSpec spec_;
  std::int64_t n_pages_ = 0;
  int n_dim_tiles_ = 0;
  std::int64_t element_bytes_ = 2;
  int vec_ = 2;
  std::int64_t padded_head_dim_ = 0;
  std::int64_t scale_bytes_ = 0;    ///< per page and head, of K or of V
  std::int64_t v_scale_bytes_ = 0;  ///< after the tiles in v_block_bytes()
  std::int64_t k_tile_bytes_ = 0;
  std::int64_t v_tile_bytes_ = 0;
  std::int64_t v_dim_stride_ = 0;
  std::int64_t k_block_bytes_ = 0;
  std::int64_t k_slice_bytes_ = 0;
  std::int64_t v_slice_bytes_ = 0;
  HostBuffer buffer_;
};

}  // namespace secondsource::cpu
