#include "onednn/kv_pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/kv.h"

namespace secondsource::onednn {

Result<KvPool> KvPool::create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages) {
  SS_TRY_VOID(check_kv_spec(spec, n_pages));
  if (spec.dtype != DType::kBf16) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("KV cache: onednn keeps bf16 only, found {}", to_string(spec.dtype))};
  }
  KvPool pool;
  pool.spec_ = spec;
  pool.n_pages_ = n_pages;
  const auto half_bytes = static_cast<std::size_t>(kv_page_bytes(spec) * n_pages / 2);
  for (HostBuffer* const buffer : {&pool.keys_, &pool.values_}) {
    auto allocated = HostBuffer::allocate(account, MemoryPurpose::kKv, half_bytes, HugePages::kAdvise);
    if (!allocated) return allocated.error().with_context("KV cache");
    *buffer = std::move(allocated).value();
  }
  return pool;
}

Result<void> KvPool::copy_pages(std::span<const PageCopy> copies) {
  SS_TRY_VOID(check_page_copies(copies, n_pages_));
  const std::int64_t page_values = std::int64_t{spec_.page_tokens} * spec_.head_dim;
  for (const PageCopy& copy : copies) {
    const std::int64_t from = std::int64_t{copy.from_page} * spec_.page_tokens;
    const std::int64_t to = std::int64_t{copy.to_page} * spec_.page_tokens;
    for (std::int32_t layer = 0; layer < spec_.n_layers; ++layer) {
      for (std::int32_t head = 0; head < spec_.n_kv_heads; ++head) {
        std::copy_n(key(layer, head, from), page_values, key(layer, head, to));
        std::copy_n(value(layer, head, from), page_values, value(layer, head, to));
      }
    }
  }
  return {};
}

Result<void> KvPool::export_range(const KvRange& range, std::span<float> out) const {
  SS_TRY_VOID(check_kv_range(spec_, n_pages_, range, out.size()));
  std::size_t i = 0;
  for (std::int64_t slot = range.first_slot; slot < std::int64_t{range.first_slot} + range.n_slots; ++slot) {
    for (std::int32_t head = 0; head < spec_.n_kv_heads; ++head) {
      const Bf16* const from = range.values ? value(range.layer, head, slot) : key(range.layer, head, slot);
      for (std::int32_t d = 0; d < spec_.head_dim; ++d) out[i++] = to_float(from[d]);
    }
  }
  return {};
}

}  // namespace secondsource::onednn
