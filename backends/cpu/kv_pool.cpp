#include "cpu/kv_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "backend/kv.h"
#include "core/checked.h"
#include "core/half.h"
#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {

Result<KvPool> KvPool::create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages) {
  SS_TRY_VOID(check_kv_spec(spec, n_pages));
  if (spec.dtype != DType::kBf16 && spec.dtype != DType::kF32) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("cpu: KV cache: expected bf16 or f32, found {}", to_string(spec.dtype))};
  }
  if (spec.page_tokens % kTileRows != 0) {
    return Error{
        ErrorCode::kUnsupported,
        fmt::format("cpu: KV cache: expected pages of a multiple of {} tokens, found {}", kTileRows, spec.page_tokens)};
  }
  if (spec.head_dim % 2 != 0) {
    return Error{ErrorCode::kUnsupported, fmt::format("cpu: KV cache: expected even heads, found {}", spec.head_dim)};
  }
  KvPool pool;
  pool.spec_ = spec;
  pool.n_pages_ = n_pages;
  pool.element_bytes_ = static_cast<std::int64_t>(size_of(spec.dtype));
  pool.n_dim_tiles_ = ceil_divide(spec.head_dim, kTileRows);
  pool.k_tile_bytes_ = kTileRows * spec.head_dim * pool.element_bytes_;
  pool.v_tile_bytes_ = kTileRows * kTileRows * pool.element_bytes_;
  const std::int64_t tiles_per_page = spec.page_tokens / kTileRows;
  pool.v_dim_stride_ = tiles_per_page * pool.v_tile_bytes_;
  pool.k_block_bytes_ = tiles_per_page * pool.k_tile_bytes_;
  const std::int64_t per_page_and_layer = spec.n_kv_heads * (pool.k_block_bytes_ + pool.v_block_bytes());
  const auto n_bytes = checked_multiply<std::int64_t>(per_page_and_layer, n_pages);
  const auto n_total = n_bytes ? checked_multiply<std::int64_t>(*n_bytes, spec.n_layers) : std::nullopt;
  if (!n_total) return Error{ErrorCode::kOutOfMemory, "cpu: KV cache: does not fit the address space"};
  SS_TRY(pool.buffer_,
         HostBuffer::allocate(account, MemoryPurpose::kKv, static_cast<std::size_t>(*n_total), HugePages::kAdvise));
  return pool;
}

std::int64_t KvPool::page_offset(std::int32_t layer, bool values, std::int64_t page) const {
  const std::int64_t k_page = spec_.n_kv_heads * k_block_bytes_;
  const std::int64_t v_page = spec_.n_kv_heads * v_block_bytes();
  const std::int64_t base = layer * n_pages_ * (k_page + v_page);
  return values ? base + n_pages_ * k_page + page * v_page : base + page * k_page;
}

const std::byte* KvPool::k_tile(std::int32_t layer, std::int64_t page, std::int32_t head, std::int32_t token) const {
  return buffer_.data() + page_offset(layer, false, page) + head * k_block_bytes_ + token / kTileRows * k_tile_bytes_;
}

const std::byte* KvPool::v_tile(std::int32_t layer, std::int64_t page, std::int32_t head, std::int32_t token) const {
  return buffer_.data() + page_offset(layer, true, page) + head * v_block_bytes() + token / kTileRows * v_tile_bytes_;
}

std::int64_t KvPool::key_index(std::int32_t token, std::int32_t dim) const {
  if (is_bf16()) return (dim / 2 * kTileRows + token % kTileRows) * 2 + dim % 2;
  return dim * kTileRows + token % kTileRows;
}

std::int64_t KvPool::value_index(std::int32_t token, std::int32_t dim) const {
  const std::int64_t tile = dim / kTileRows * (v_dim_stride_ / element_bytes_);
  const std::int32_t row = token % kTileRows;
  const std::int32_t lane = dim % kTileRows;
  if (is_bf16()) return tile + (row / 2 * kTileRows + lane) * 2 + row % 2;
  return tile + row * kTileRows + lane;
}

void KvPool::write(std::int32_t layer, std::int64_t slot, std::int32_t head, const float* key, const float* value) {
  const std::int64_t page = slot / spec_.page_tokens;
  const auto token = static_cast<std::int32_t>(slot % spec_.page_tokens);
  std::byte* const keys = buffer_.data() + (k_tile(layer, page, head, token) - buffer_.data());
  std::byte* const values = buffer_.data() + (v_tile(layer, page, head, token) - buffer_.data());
  if (is_bf16()) {
    auto* const k = reinterpret_cast<std::uint16_t*>(keys);
    auto* const v = reinterpret_cast<std::uint16_t*>(values);
    for (std::int32_t dim = 0; dim < spec_.head_dim; ++dim) {
      k[key_index(token, dim)] = to_bf16(key[dim]).bits;
      v[value_index(token, dim)] = to_bf16(value[dim]).bits;
    }
    return;
  }
  auto* const k = reinterpret_cast<float*>(keys);
  auto* const v = reinterpret_cast<float*>(values);
  for (std::int32_t dim = 0; dim < spec_.head_dim; ++dim) {
    k[key_index(token, dim)] = key[dim];
    v[value_index(token, dim)] = value[dim];
  }
}

void KvPool::copy_value_tile(const std::byte* tile, int n_tokens, std::span<std::byte> out) const {
  for (int dim_tile = 0; dim_tile < n_dim_tiles_; ++dim_tile) {
    std::byte* const to = out.data() + dim_tile * v_dim_stride_;
    std::memcpy(to, tile + dim_tile * v_dim_stride_, static_cast<std::size_t>(v_tile_bytes_));
    for (int token = std::max(0, n_tokens); token < kTileRows; ++token) {
      for (int lane = 0; lane < kTileRows; ++lane) {
        const std::int64_t index = value_index(token, lane);
        std::memset(to + index * element_bytes_, 0, static_cast<std::size_t>(element_bytes_));
      }
    }
  }
}

Result<void> KvPool::copy_pages(std::span<const PageCopy> copies) {
  SS_TRY_VOID(check_page_copies(copies, n_pages_));
  for (std::int32_t layer = 0; layer < spec_.n_layers; ++layer) {
    for (const bool values : {false, true}) {
      const auto n = static_cast<std::size_t>(spec_.n_kv_heads * (values ? v_block_bytes() : k_block_bytes_));
      for (const PageCopy& copy : copies) {
        std::memcpy(buffer_.data() + page_offset(layer, values, copy.to_page),
                    buffer_.data() + page_offset(layer, values, copy.from_page), n);
      }
    }
  }
  return {};
}

Result<void> KvPool::export_range(const KvRange& range, std::span<float> out) const {
  SS_TRY_VOID(check_kv_range(spec_, n_pages_, range, out.size()));
  std::size_t at = 0;
  for (std::int32_t i = 0; i < range.n_slots; ++i) {
    const std::int32_t slot = range.first_slot + i;
    const std::int64_t page = slot / spec_.page_tokens;
    const std::int32_t token = slot % spec_.page_tokens;
    for (std::int32_t head = 0; head < spec_.n_kv_heads; ++head) {
      const std::byte* const tile =
          range.values ? v_tile(range.layer, page, head, token) : k_tile(range.layer, page, head, token);
      for (std::int32_t dim = 0; dim < spec_.head_dim; ++dim) {
        const std::int64_t index = range.values ? value_index(token, dim) : key_index(token, dim);
        out[at++] = is_bf16() ? to_float(reinterpret_cast<const Bf16*>(tile)[index])
                              : reinterpret_cast<const float*>(tile)[index];
      }
    }
  }
  return {};
}

}  // namespace secondsource::cpu
