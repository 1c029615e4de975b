#pragma once
// One paged cache in f32: [layer, slot, kv_head, head_dim], keys and values apart; slot = page * page_tokens + offset.

#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/host_memory.h"

namespace secondsource::reference {

class KvPool {
 public:
  /// Errors: kInvalidInput, kUnsupported for another type than f32, kOutOfMemory.
  static Result<KvPool> create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages);

  [[nodiscard]] const KvSpec& spec() const { return spec_; }
  [[nodiscard]] std::int64_t n_pages() const { return n_pages_; }
  [[nodiscard]] std::int64_t n_slots() const { return n_pages_ * spec_.page_tokens; }
  /// [n_kv_heads, head_dim] of one slot.
  [[nodiscard]] std::span<float> keys(std::int32_t layer, std::int64_t slot) { return at(keys_, layer, slot); }
  [[nodiscard]] std::span<float> values(std::int32_t layer, std::int64_t slot) { return at(values_, layer, slot); }

  Result<void> copy_pages(std::span<const PageCopy> copies);
  Result<void> export_range(const KvRange& range, std::span<float> out) const;

 private:
  [[nodiscard]] std::span<float> at(const HostBuffer& buffer, std::int32_t layer, std::int64_t slot) const {
    const auto width = static_cast<std::size_t>(spec_.n_kv_heads * spec_.head_dim);
    return buffer.as<float>().subspan(static_cast<std::size_t>(layer * n_slots() + slot) * width, width);
  }

  KvSpec spec_;
  std::int64_t n_pages_ = 0;
  HostBuffer keys_;
  HostBuffer values_;
};

}  // namespace secondsource::reference
