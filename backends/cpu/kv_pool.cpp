#include "cpu/kv_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/check_kv.h"
#include "core/checked.h"
#include "core/half.h"

namespace secondsource::cpu {
namespace {

/// How many values of one token (K) or of one dimension (V) are adjacent.
int vec_of(DType dtype) {
  if (dtype == DType::kBf16) return 2;
  return dtype == DType::kI8 ? 4 : 1;
}

/// s = max|x| / 127, or NaN if any x is not finite; x becomes clamp(round-half-even(x / s), +-127), or zeros if s is 0 or
/// NaN. Returns s.
float quantize(std::span<float> row) {
  float abs_max = 0.0F;
  float poison = 0.0F;
  for (const float x : row) {
    abs_max = std::max(abs_max, std::fabs(x));
    poison += 0.0F * x;  // 0, or NaN
  }
  const float scale = abs_max / 127.0F + poison;
  if (!(scale > 0.0F)) {
    std::ranges::fill(row, 0.0F);
    return scale;
  }
  // Adding and subtracting 1.5 * 2^23 rounds half to even.
  constexpr float kMagic = 12582912.0F;
  for (float& x : row) x = (std::clamp(x / scale, -127.0F, 127.0F) + kMagic) - kMagic;
  return scale;
}

}  // namespace

Result<KvPool> KvPool::create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages) {
  SS_TRY_VOID(check_kv_spec(spec, n_pages));
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
  pool.vec_ = vec_of(spec.dtype);
  pool.padded_head_dim_ = round_up<std::int64_t>(spec.head_dim, pool.vec_);
  pool.n_dim_tiles_ = ceil_divide(pool.has_latents() ? spec.latent_dim : spec.head_dim, kTileRows);
  pool.k_tile_bytes_ = kTileRows * pool.padded_head_dim_ * pool.element_bytes_;
  pool.v_tile_bytes_ = kTileRows * kTileRows * pool.element_bytes_;
  const std::int64_t tiles_per_page = spec.page_tokens / kTileRows;
  const std::int64_t v_token_tiles = pool.has_latents() ? 1 : tiles_per_page;
  pool.v_dim_stride_ = v_token_tiles * pool.v_tile_bytes_;
  const std::int64_t scale_bytes = pool.has_scales() ? std::int64_t{kTileRows} * std::int64_t{sizeof(float)} : 0;
  pool.scale_bytes_ = tiles_per_page * scale_bytes;
  pool.v_scale_bytes_ = v_token_tiles * scale_bytes;
  pool.k_block_bytes_ = tiles_per_page * pool.k_tile_bytes_ + pool.scale_bytes_;
  pool.k_slice_bytes_ = pool.k_block_bytes_ / tiles_per_page;
  pool.v_slice_bytes_ = pool.v_block_bytes() / tiles_per_page;
  const std::int64_t per_page_and_layer = spec.n_kv_heads * (pool.k_block_bytes_ + pool.stored_v_bytes());
  const auto n_bytes = checked_multiply<std::int64_t>(per_page_and_layer, n_pages);
  const auto n_total = n_bytes ? checked_multiply<std::int64_t>(*n_bytes, spec.n_layers) : std::nullopt;
  if (!n_total) return Error{ErrorCode::kOutOfMemory, "cpu: KV cache: does not fit the address space"};
  SS_TRY(pool.buffer_,
         HostBuffer::allocate(account, MemoryPurpose::kKv, static_cast<std::size_t>(*n_total), HugePages::kAdvise));
  return pool;
}

KvPool::PageBlocks KvPool::blocks_of(std::int32_t layer, std::int64_t page, std::int32_t head) const {
  const std::int64_t n_blocks = n_pages_ * spec_.n_kv_heads;
  const std::byte* const keys = buffer_.data() + layer * n_blocks * (k_block_bytes_ + stored_v_bytes());
  const std::int64_t block = head * n_pages_ + page;
  if (has_latents()) return {.keys = keys + block * k_block_bytes_};
  const std::byte* const values = keys + n_blocks * k_block_bytes_;
  return {.keys = keys + block * k_block_bytes_, .values = values + block * stored_v_bytes()};
}

std::int64_t KvPool::key_index(std::int32_t token, std::int32_t dim) const {
  return (dim / vec_ * kTileRows + token % kTileRows) * vec_ + dim % vec_;
}

std::int64_t KvPool::value_index(std::int32_t token, std::int32_t dim) const {
  const std::int64_t tile = dim / kTileRows * (v_dim_stride_ / element_bytes_);
  const std::int32_t row = token % kTileRows;
  const std::int32_t lane = dim % kTileRows;
  return tile + (row / vec_ * kTileRows + lane) * vec_ + row % vec_;
}

float KvPool::load(const std::byte* tile, std::int64_t index) const {
  switch (spec_.dtype) {
    case DType::kBf16:
      return to_float(reinterpret_cast<const Bf16*>(tile)[index]);
    case DType::kF16:
      return to_float(reinterpret_cast<const F16*>(tile)[index]);
    case DType::kI8:
      return static_cast<float>(reinterpret_cast<const std::int8_t*>(tile)[index]);
    default:
      return reinterpret_cast<const float*>(tile)[index];
  }
}

void KvPool::write(std::int32_t layer, std::int64_t slot, std::int32_t head, std::span<float> key,
                   std::span<float> value) {
  const std::int64_t page = slot / spec_.page_tokens;
  const auto token = static_cast<std::int32_t>(slot % spec_.page_tokens);
  const auto own = [this]<typename T>(const T* at) {
    return reinterpret_cast<T*>(buffer_.data() + (reinterpret_cast<const std::byte*>(at) - buffer_.data()));
  };
  const Tile tile = tile_at(layer, page, head, token);
  std::byte* const keys = own(tile.keys);
  std::byte* const values = has_latents() ? nullptr : own(tile.values);
  if (has_scales()) {
    own(tile.k_scales)[token % kTileRows] = quantize(key);
    if (!has_latents()) own(tile.v_scales)[token % kTileRows] = quantize(value);
  }
  switch (spec_.dtype) {
    case DType::kBf16:
      return put<Bf16>(token, key, value, keys, values, [](float x) { return to_bf16(x); });
    case DType::kF16:
      return put<F16>(token, key, value, keys, values, [](float x) { return to_f16(x); });
    case DType::kI8:
      return put<std::int8_t>(token, key, value, keys, values, [](float x) { return static_cast<std::int8_t>(x); });
    default:
      return put<float>(token, key, value, keys, values, [](float x) { return x; });
  }
}

// Writes to the places of key_index() and value_index() without a division for each value.
template <typename T, typename Convert>
void KvPool::put(std::int32_t token, std::span<const float> key, std::span<const float> value, std::byte* keys,
                 std::byte* values, const Convert& convert) const {
  const std::int32_t row = token % kTileRows;
  const std::int32_t n_dims = spec_.head_dim;
  T* k = reinterpret_cast<T*>(keys) + row * vec_;
  const float* from = key.data();
  for (std::int32_t first = 0; first < n_dims; first += vec_, k += kTileRows * vec_) {
    const std::int32_t n = std::min(vec_, n_dims - first);
    for (std::int32_t i = 0; i < n; ++i) k[i] = convert(*from++);
  }
  if (values == nullptr) return;
  from = value.data();
  for (std::int32_t first = 0; first < n_dims; first += kTileRows, values += v_dim_stride_) {
    T* const v = reinterpret_cast<T*>(values) + row / vec_ * kTileRows * vec_ + row % vec_;
    const std::int32_t n = std::min(kTileRows, n_dims - first);
    for (std::int32_t lane = 0; lane < n; ++lane) v[lane * vec_] = convert(*from++);
  }
}

// In K, tokens are lanes and dimensions are steps; in V it is the other way round. Adjacent steps form a vec in both.
template <typename T>
void KvPool::transpose_latents(const std::byte* k_tile, int n_tokens, std::byte* out) const {
  const auto vec = static_cast<std::int64_t>(vec_);
  const std::int32_t n_dims = spec_.latent_dim;
  for (std::int32_t first = 0; first < n_dims; first += kTileRows, out += v_dim_stride_) {
    const auto* const keys = reinterpret_cast<const T*>(k_tile) + first / vec * kTileRows * vec;
    auto* const values = reinterpret_cast<T*>(out);
    const std::int32_t n = std::min(kTileRows, n_dims - first);
    for (std::int32_t lane = 0; lane < n; ++lane) {
      const T* const of_dim = keys + lane / vec * kTileRows * vec + lane % vec;
      T* const to = values + lane * vec;
      for (int token = 0; token < n_tokens; ++token) {
        to[token / vec * kTileRows * vec + token % vec] = of_dim[token * vec];
      }
    }
  }
}

void KvPool::value_tile_of(const std::byte* k_tile, int n_tokens, std::span<std::byte> out) const {
  const int n = std::clamp(n_tokens, 0, kTileRows);
  if (n < kTileRows || spec_.latent_dim % kTileRows != 0) {
    std::ranges::fill(out.first(static_cast<std::size_t>(v_dim_stride_ * n_dim_tiles_)), std::byte{0});
  }
  if (element_bytes_ == 4) return transpose_latents<std::uint32_t>(k_tile, n, out.data());
  if (element_bytes_ == 2) return transpose_latents<std::uint16_t>(k_tile, n, out.data());
  transpose_latents<std::uint8_t>(k_tile, n, out.data());
}

void KvPool::copy_value_tile(const std::byte* tile, int n_tokens, std::span<std::byte> out) const {
  // Whole vecs of tokens are copied, and an incomplete last one is masked. A vec of more than one token has four bytes.
  const auto n = static_cast<std::size_t>(std::max(0, n_tokens));
  const auto vec = static_cast<std::size_t>(vec_);
  const auto element_bytes = static_cast<std::size_t>(element_bytes_);
  const std::size_t whole_bytes = n / vec * kTileRows * vec * element_bytes;
  const std::uint32_t some = (std::uint32_t{1} << (n % vec * element_bytes * 8)) - 1;
  for (int dim_tile = 0; dim_tile < n_dim_tiles_; ++dim_tile) {
    const std::byte* const from = tile + dim_tile * v_dim_stride_;
    std::byte* const to = out.data() + dim_tile * v_dim_stride_;
    std::memcpy(to, from, whole_bytes);
    std::memset(to + whole_bytes, 0, static_cast<std::size_t>(v_tile_bytes_) - whole_bytes);
    if (some == 0) continue;
    for (std::size_t lane = 0; lane < kTileRows; ++lane) {
      std::uint32_t tokens = 0;
      std::memcpy(&tokens, from + whole_bytes + lane * sizeof tokens, sizeof tokens);
      tokens &= some;  // the first token is in the lowest bytes
      std::memcpy(to + whole_bytes + lane * sizeof tokens, &tokens, sizeof tokens);
    }
  }
}

const float* KvPool::copy_value_scales(const float* scales, int n_tokens, std::span<std::byte> out) const {
  auto* const to = reinterpret_cast<float*>(out.data() + v_dim_stride_ * n_dim_tiles_);
  for (int token = 0; token < kTileRows; ++token) to[token] = token < n_tokens ? scales[token] : 0.0F;
  return to;
}

Result<void> KvPool::copy_pages(std::span<const PageCopy> copies) {
  SS_TRY_VOID(check_page_copies(copies, n_pages_));
  const auto copy_block = [this](const std::byte* from, const std::byte* to, std::int64_t n_bytes) {
    if (n_bytes > 0) std::memcpy(buffer_.data() + (to - buffer_.data()), from, static_cast<std::size_t>(n_bytes));
  };
  for (std::int32_t layer = 0; layer < spec_.n_layers; ++layer) {
    for (const PageCopy& copy : copies) {
      for (std::int32_t head = 0; head < spec_.n_kv_heads; ++head) {
        const PageBlocks from = blocks_of(layer, copy.from_page, head);
        const PageBlocks to = blocks_of(layer, copy.to_page, head);
        copy_block(from.keys, to.keys, k_block_bytes_);
        copy_block(from.values, to.values, stored_v_bytes());
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
      const Tile tile = tile_at(range.layer, page, head, token);
      const std::byte* const stored = range.values ? tile.values : tile.keys;
      const float* const scales = range.values ? tile.v_scales : tile.k_scales;
      const float scale = has_scales() ? scales[token % kTileRows] : 1.0F;
      for (std::int32_t dim = 0; dim < spec_.head_dim; ++dim) {
        out[at++] = scale * load(stored, range.values ? value_index(token, dim) : key_index(token, dim));
      }
    }
  }
  return {};
}

}  // namespace secondsource::cpu
