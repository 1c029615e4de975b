#include "backend_kit/host_kv_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "backend/check_kv.h"
#include "core/half.h"

namespace secondsource {

template <typename T>
Result<HostKvPool<T>> HostKvPool<T>::create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages) {
  constexpr DType kOwn = std::is_same_v<T, float> ? DType::kF32 : DType::kBf16;
  SS_TRY_VOID(check_kv_spec(spec, n_pages));
  if (spec.dtype != kOwn) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("KV cache: expected {}, found {}", to_string(kOwn), to_string(spec.dtype))};
  }
  HostKvPool pool;
  pool.spec_ = spec;
  pool.n_pages_ = n_pages;
  const bool has_values = spec.latent_dim == 0;
  const auto half_bytes = static_cast<std::size_t>(kv_page_bytes(spec) * n_pages / (has_values ? 2 : 1));
  for (HostBuffer* const buffer : {&pool.keys_, &pool.values_}) {
    if (buffer == &pool.values_ && !has_values) continue;
    auto allocated = HostBuffer::allocate(account, MemoryPurpose::kKv, half_bytes, HugePages::kAdvise);
    if (!allocated) return allocated.error().with_context("KV cache");
    *buffer = std::move(allocated).value();
  }
  return pool;
}

template <typename T>
Result<void> HostKvPool<T>::copy_pages(std::span<const PageCopy> copies) {
  SS_TRY_VOID(check_page_copies(copies, n_pages_));
  const std::int64_t page_values = std::int64_t{spec_.page_tokens} * spec_.head_dim;
  for (const PageCopy& copy : copies) {
    const std::int64_t from = std::int64_t{copy.from_page} * spec_.page_tokens;
    const std::int64_t to = std::int64_t{copy.to_page} * spec_.page_tokens;
    for (std::int32_t layer = 0; layer < spec_.n_layers; ++layer) {
      for (std::int32_t head = 0; head < spec_.n_kv_heads; ++head) {
        std::copy_n(key(layer, head, from).data(), page_values, key(layer, head, to).data());
        if (spec_.latent_dim > 0) continue;
        std::copy_n(value(layer, head, from).data(), page_values, value(layer, head, to).data());
      }
    }
  }
  return {};
}

template <typename T>
Result<void> HostKvPool<T>::export_range(const KvRange& range, std::span<float> out) const {
  SS_TRY_VOID(check_kv_range(spec_, n_pages_, range, out.size()));
  auto to = out.begin();
  for (std::int64_t slot = range.first_slot; slot < std::int64_t{range.first_slot} + range.n_slots; ++slot) {
    for (std::int32_t head = 0; head < spec_.n_kv_heads; ++head) {
      const auto from = at(range.values ? values_ : keys_, range.layer, head, slot);
      to = std::ranges::transform(from, to, [](T stored) {
             if constexpr (std::is_same_v<T, float>) return stored;
             if constexpr (!std::is_same_v<T, float>) return to_float(stored);
           }).out;
    }
  }
  return {};
}

template class HostKvPool<float>;
template class HostKvPool<Bf16>;

}  // namespace secondsource
