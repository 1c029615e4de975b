#pragma once
// The paged key-value cache in the layout that the attention kernels read. Per layer, page and KV head:
//
//   K  one tile for 16 tokens: [head_dim / 2][16 tokens][2]          (f32: [head_dim][16 tokens])
//   V  one tile for 16 dimensions and 16 tokens, tokens inside:
//      [dim tile][token tile][8][16 dims][2]                          (f32: [..][16 tokens][16 dims])
//
// so that scores and outputs come out of the same products as matmul, without shuffles. Dimensions are padded with
// zeros to 16 for V.

#include <cstdint>
#include <memory>
#include <span>

#include "backend/backend.h"
#include "backend/host_memory.h"

namespace secondsource::cpu {

class KvPool {
 public:
  /// Errors: kInvalidInput, kUnsupported (f16, pages that are no whole tiles, odd head_dim), kOutOfMemory.
  static Result<KvPool> create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages);

  [[nodiscard]] const KvSpec& spec() const { return spec_; }
  [[nodiscard]] std::int64_t n_pages() const { return n_pages_; }
  [[nodiscard]] bool is_bf16() const { return spec_.dtype == DType::kBf16; }
  [[nodiscard]] int n_dim_tiles() const { return n_dim_tiles_; }
  /// Bytes from one dimension tile of V to the next.
  [[nodiscard]] std::int64_t v_dim_stride() const { return v_dim_stride_; }
  /// Bytes of the V of one page and head.
  [[nodiscard]] std::int64_t v_block_bytes() const { return v_dim_stride_ * n_dim_tiles_; }

  /// The tile with the 16 tokens from `token` (a multiple of 16) of a page on.
  [[nodiscard]] const std::byte* k_tile(std::int32_t layer, std::int64_t page, std::int32_t head,
                                        std::int32_t token) const;
  /// The same for the first dimension tile of V.
  [[nodiscard]] const std::byte* v_tile(std::int32_t layer, std::int64_t page, std::int32_t head,
                                        std::int32_t token) const;

  /// A copy of a V tile, all its dimension tiles, whose tokens from `n_tokens` on are zero. out: v_block_bytes().
  void copy_value_tile(const std::byte* tile, int n_tokens, std::span<std::byte> out) const;

  /// Stores one head of one token, rounding to the cache's type. key, value: [head_dim].
  void write(std::int32_t layer, std::int64_t slot, std::int32_t head, const float* key, const float* value);

  Result<void> copy_pages(std::span<const PageCopy> copies);
  Result<void> export_range(const KvRange& range, std::span<float> out) const;

 private:
  [[nodiscard]] std::int64_t page_offset(std::int32_t layer, bool values, std::int64_t page) const;
  [[nodiscard]] std::int64_t key_index(std::int32_t token, std::int32_t dim) const;
  [[nodiscard]] std::int64_t value_index(std::int32_t token, std::int32_t dim) const;

  KvSpec spec_;
  std::int64_t n_pages_ = 0;
  int n_dim_tiles_ = 0;
  std::int64_t element_bytes_ = 2;
  std::int64_t k_tile_bytes_ = 0;
  std::int64_t v_tile_bytes_ = 0;
  std::int64_t v_dim_stride_ = 0;
  std::int64_t k_block_bytes_ = 0;
  HostBuffer buffer_;
};

}  // namespace secondsource::cpu
