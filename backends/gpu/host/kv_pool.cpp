#include "gpu/host/kv_pool.h"

#include <fmt/format.h>

#include "backend/check_kv.h"

namespace secondsource::gpu {

Support supports_head_dim(const HeadShape& heads) {
  const bool has_latents = heads.latent_dim > 0;
  const std::int32_t most = has_latents ? kMaxLatentHeadDim : kMaxHeadDim;
  if (heads.head_dim > most || heads.head_dim % kHeadDimStep != 0) {
    return Support::no(fmt::format("head_dim: expected a multiple of {} up to {}{}, found {}", kHeadDimStep, most,
                                   has_latents ? " with latents" : "", heads.head_dim));
  }
  if (has_latents && (heads.latent_dim > kMaxLatentDim || heads.latent_dim % kHeadDimStep != 0)) {
    return Support::no(fmt::format("latents: expected a multiple of {} up to {}, found {}", kHeadDimStep, kMaxLatentDim,
                                   heads.latent_dim));
  }
  return Support::yes();
}

Result<KvPool> KvPool::create(DeviceMemory& memory, const KvSpec& spec, std::int64_t n_pages) {
  SS_TRY_VOID(check_kv_spec(spec, n_pages));
  if (spec.dtype != DType::kBf16) {
    return Error{ErrorCode::kUnsupported, fmt::format("KV cache: expected bf16, found {}", to_string(spec.dtype))};
  }
  const HeadShape heads{.head_dim = spec.head_dim, .latent_dim = spec.latent_dim};
  if (const Support support = supports_head_dim(heads); !support.supported) {
    return Error{ErrorCode::kUnsupported, "KV cache: " + support.reason};
  }
  KvPool pool;
  pool.spec_ = spec;
  pool.n_pages_ = n_pages;
  const auto bytes = static_cast<std::size_t>(kv_page_bytes(spec) * n_pages);
  auto buffer = memory.allocate(MemoryPurpose::kKv, bytes);
  if (!buffer) return buffer.error().with_context("KV cache");
  pool.buffer_ = std::move(buffer).value();
  SS_TRY_VOID(memory.stream().fill(pool.buffer_.data(), 0, bytes));
  return pool;
}

std::size_t KvPool::page_bytes() const {
  return static_cast<std::size_t>(kv_page_bytes(spec_)) / static_cast<std::size_t>(n_halves() * spec_.n_layers);
}

std::byte* KvPool::half(std::int32_t layer, bool values) const {
  const std::size_t index = static_cast<std::size_t>(n_halves() * layer) + (values ? 1 : 0);
  return buffer_.data() + index * static_cast<std::size_t>(n_pages_) * page_bytes();
}

KvView KvPool::view(std::int32_t layer) const {
  return {.keys = reinterpret_cast<Bf16*>(half(layer, false)),
          .values = n_halves() > 1 ? reinterpret_cast<Bf16*>(half(layer, true)) : nullptr,
          .n_kv_heads = spec_.n_kv_heads,
          .page_tokens = spec_.page_tokens,
          .head_dim = spec_.head_dim,
          .by_page = make_divisor(spec_.page_tokens)};
}

Result<void> KvPool::copy_pages(DeviceMemory& memory, std::span<const PageCopy> copies) {
  SS_TRY_VOID(check_page_copies(copies, n_pages_));
  for (const PageCopy& copy : copies) {
    for (std::int32_t layer = 0; layer < spec_.n_layers; ++layer) {
      for (std::int32_t index = 0; index < n_halves(); ++index) {
        std::byte* const pages = half(layer, index == 1);
        SS_TRY_VOID(memory.stream().copy(pages + static_cast<std::size_t>(copy.to_page) * page_bytes(),
                                         pages + static_cast<std::size_t>(copy.from_page) * page_bytes(),
                                         page_bytes()));
      }
    }
  }
  return {};
}

Result<void> KvPool::export_range(DeviceMemory& memory, const KvRange& range, std::span<float> out) const {
  SS_TRY_VOID(check_kv_range(spec_, n_pages_, range, out.size()));
  if (out.empty()) return {};
  const auto page_tokens = static_cast<std::size_t>(spec_.page_tokens);
  const auto head_dim = static_cast<std::size_t>(spec_.head_dim);
  const auto n_kv_heads = static_cast<std::size_t>(spec_.n_kv_heads);
  const std::size_t first_page = static_cast<std::size_t>(range.first_slot) / page_tokens;
  const std::size_t end_page = static_cast<std::size_t>(range.first_slot + range.n_slots - 1) / page_tokens + 1;
  std::vector<Bf16> pages((end_page - first_page) * page_bytes() / sizeof(Bf16));
  SS_TRY_VOID(memory.download(pages.data(), half(range.layer, range.values) + first_page * page_bytes(),
                              pages.size() * sizeof(Bf16)));
  for (std::size_t i = 0; i < static_cast<std::size_t>(range.n_slots); ++i) {
    const std::size_t slot = static_cast<std::size_t>(range.first_slot) + i;
    for (std::size_t head = 0; head < n_kv_heads; ++head) {
      const std::size_t row =
          ((slot / page_tokens - first_page) * n_kv_heads + head) * page_tokens + slot % page_tokens;
      for (std::size_t d = 0; d < head_dim; ++d) {
        out[(i * n_kv_heads + head) * head_dim + d] = to_float(pages[row * head_dim + d]);
      }
    }
  }
  return {};
}

}  // namespace secondsource::gpu
