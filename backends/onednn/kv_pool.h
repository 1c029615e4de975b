#pragma once
// One paged cache in BF16: [layer, kv_head, slot, head_dim], keys and values apart, so that the tokens of a page that a
// head reads lie one after the other; slot = page * page_tokens + offset.

#include <span>

#include "backend/backend.h"
#include "backend/host_memory.h"
#include "core/half.h"

namespace secondsource::onednn {

class KvPool {
 public:
  /// Errors: kInvalidInput, kUnsupported for another type than bf16, kOutOfMemory.
  static Result<KvPool> create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages);

  [[nodiscard]] const KvSpec& spec() const { return spec_; }
  [[nodiscard]] std::int64_t n_slots() const { return n_pages_ * spec_.page_tokens; }
  [[nodiscard]] std::int64_t n_pages() const { return n_pages_; }
  /// head_dim values of one slot; the next slots of the page follow.
  [[nodiscard]] Bf16* key(std::int32_t layer, std::int32_t kv_head, std::int64_t slot) const {
    return keys_.as<Bf16>().data() + offset(layer, kv_head, slot);
  }
  [[nodiscard]] Bf16* value(std::int32_t layer, std::int32_t kv_head, std::int64_t slot) const {
    return values_.as<Bf16>().data() + offset(layer, kv_head, slot);
  }

  Result<void> copy_pages(std::span<const PageCopy> copies);
  Result<void> export_range(const KvRange& range, std::span<float> out) const;

 private:
  [[nodiscard]] std::int64_t offset(std::int32_t layer, std::int32_t kv_head, std::int64_t slot) const {
    return ((std::int64_t{layer} * spec_.n_kv_heads + kv_head) * n_slots() + slot) * spec_.head_dim;
  }

  KvSpec spec_;
  std::int64_t n_pages_ = 0;
  HostBuffer keys_;
  HostBuffer values_;
};

}  // namespace secondsource::onednn
