#pragma once
// The paged key-value cache in the layout that the attention kernels read: [layer][K, V][KV head][page], so that
// adjacent pages are one stream for a head. Per layer, head and page:
//
//   K  one tile for 16 tokens: [head_dim / unit][16 tokens][unit]
//   V  one tile for 16 dimensions and 16 tokens, tokens inside:
//      [dim tile][token tile][16 tokens / unit][16 dims][unit]
//
// with unit 1 for f32 and f16, 2 for bf16 and 4 for int8, so that scores and outputs come out of the same products as
// matmul, without shuffles. Dimensions are padded with zeros to units for K and to 16 for V. int8 has one f32 scale for
// each token and head, behind the tiles of K and again behind those of V: [token tile][16].

#include <cstdint>
#include <memory>
#include <span>

#include "backend/backend.h"
#include "backend_kit/host_memory.h"
#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {

class KvPool {
 public:
  /// Errors: kInvalidInput, kUnsupported (pages that are no whole tiles, odd head_dim), kOutOfMemory.
  static Result<KvPool> create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages);

  [[nodiscard]] const KvSpec& spec() const { return spec_; }
  [[nodiscard]] std::int64_t n_pages() const { return n_pages_; }
  [[nodiscard]] std::span<std::byte> memory() const { return {buffer_.data(), buffer_.size_bytes()}; }
  [[nodiscard]] bool has_scales() const { return spec_.dtype == DType::kI8; }
  /// head_dim, padded to whole units.
  [[nodiscard]] std::int64_t padded_head_dim() const { return padded_head_dim_; }
  [[nodiscard]] int n_dim_tiles() const { return n_dim_tiles_; }
  /// Bytes from one dimension tile of V to the next.
  [[nodiscard]] std::int64_t v_dim_stride() const { return v_dim_stride_; }
  /// Bytes of the V of one page and head.
  [[nodiscard]] std::int64_t v_block_bytes() const { return v_dim_stride_ * n_dim_tiles_ + scale_bytes_; }

  /// The tile with the 16 tokens from `token` (a multiple of 16) of a page on.
  [[nodiscard]] const std::byte* k_tile(std::int32_t layer, std::int64_t page, std::int32_t head,
                                        std::int32_t token) const;
  /// The same for the first dimension tile of V.
  [[nodiscard]] const std::byte* v_tile(std::int32_t layer, std::int64_t page, std::int32_t head,
                                        std::int32_t token) const;

  /// A page's K (V) of one head cut into as many equal pieces as it has tiles, in the order of memory: what to fetch
  /// for the 16 tokens from `token` on.
  [[nodiscard]] const std::byte* k_share(std::int32_t layer, std::int64_t page, std::int32_t head,
                                         std::int32_t token) const {
    return k_tile(layer, page, head, 0) + token / kTileRows * k_share_bytes();
  }
  [[nodiscard]] const std::byte* v_share(std::int32_t layer, std::int64_t page, std::int32_t head,
                                         std::int32_t token) const {
    return v_tile(layer, page, head, 0) + token / kTileRows * v_share_bytes();
  }
  [[nodiscard]] std::int64_t k_share_bytes() const { return k_share_bytes_; }
  [[nodiscard]] std::int64_t v_share_bytes() const { return v_share_bytes_; }

  /// int8 only: the scales of the same 16 tokens.
  [[nodiscard]] const float* k_scales(std::int32_t layer, std::int64_t page, std::int32_t head,
                                      std::int32_t token) const;
  [[nodiscard]] const float* v_scales(std::int32_t layer, std::int64_t page, std::int32_t head,
                                      std::int32_t token) const;

  /// A copy of a V tile, all its dimension tiles, whose tokens from `n_tokens` on are zero. out: v_block_bytes().
  void copy_value_tile(const std::byte* tile, int n_tokens, std::span<std::byte> out) const;
  /// The same for the scales of the tile, behind it in `out`. Returns where they are.
  const float* copy_value_scales(const float* scales, int n_tokens, std::span<std::byte> out) const;

  /// Stores one head of one token, rounding to the cache's type. key, value: [head_dim]; int8 leaves its integers
  /// there.
  void write(std::int32_t layer, std::int64_t slot, std::int32_t head, std::span<float> key, std::span<float> value);

  Result<void> copy_pages(std::span<const PageCopy> copies);
  Result<void> export_range(const KvRange& range, std::span<float> out) const;

 private:
  [[nodiscard]] std::int64_t block_offset(std::int32_t layer, bool values, std::int64_t page, std::int32_t head) const;
  [[nodiscard]] std::int64_t k_tiles_bytes() const { return k_block_bytes_ - scale_bytes_; }
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
  int unit_ = 2;
  std::int64_t padded_head_dim_ = 0;
  std::int64_t scale_bytes_ = 0;  ///< of one page and head, K or V
  std::int64_t k_tile_bytes_ = 0;
  std::int64_t v_tile_bytes_ = 0;
  std::int64_t v_dim_stride_ = 0;
  std::int64_t k_block_bytes_ = 0;
  std::int64_t k_share_bytes_ = 0;
  std::int64_t v_share_bytes_ = 0;
  HostBuffer buffer_;
};

}  // namespace secondsource::cpu
