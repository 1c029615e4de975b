#include "reference/kv_pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/kv.h"

namespace secondsource::reference {

Result<KvPool> KvPool::create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages) {
  SS_TRY_VOID(check_kv_spec(spec, n_pages));
  if (spec.dtype != DType::kF32) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("KV cache: reference keeps f32 only, found {}", to_string(spec.dtype))};
  }
  KvPool pool;
  pool.spec_ = spec;
  pool.n_pages_ = n_pages;
  const auto half_bytes = static_cast<std::size_t>(kv_page_bytes(spec) * n_pages / 2);
  for (HostBuffer* const buffer : {&pool.keys_, &pool.values_}) {
    auto allocated = HostBuffer::allocate(account, MemoryPurpose::kKv, half_bytes);
    if (!allocated) return allocated.error().with_context("KV cache");
    *buffer = std::move(allocated).value();
  }
  return pool;
}

Result<void> KvPool::copy_pages(std::span<const PageCopy> copies) {
  SS_TRY_VOID(check_page_copies(copies, n_pages_));
  for (const PageCopy& copy : copies) {
    for (std::int32_t layer = 0; layer < spec_.n_layers; ++layer) {
      for (std::int64_t offset = 0; offset < spec_.page_tokens; ++offset) {
        const std::int64_t from = std::int64_t{copy.from_page} * spec_.page_tokens + offset;
        const std::int64_t to = std::int64_t{copy.to_page} * spec_.page_tokens + offset;
        std::ranges::copy(keys(layer, from), keys(layer, to).begin());
        std::ranges::copy(values(layer, from), values(layer, to).begin());
      }
    }
  }
  return {};
}

Result<void> KvPool::export_range(const KvRange& range, std::span<float> out) const {
  SS_TRY_VOID(check_kv_range(spec_, n_pages_, range, out.size()));
  auto position = out.begin();
  for (std::int64_t slot = range.first_slot; slot < std::int64_t{range.first_slot} + range.n_slots; ++slot) {
    position = std::ranges::copy(at(range.values ? values_ : keys_, range.layer, slot), position).out;
  }
  return {};
}

}  // namespace secondsource::reference
