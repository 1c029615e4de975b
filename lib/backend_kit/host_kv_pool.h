#pragma once
// A paged KV cache in host memory with the layout [layer, kv_head, slot, head_dim], keys and values separate, so that
// the tokens of a page that a head reads are contiguous; slot = page * page_tokens + offset.

#include <span>

#include "backend/backend.h"
#include "backend_kit/host_memory.h"

namespace secondsource {

/// T, float or Bf16, is the only element type that the cache can have.
template <typename T>
class HostKvPool {
 public:
  /// Errors: kInvalidInput, kUnsupported for an element type other than T, kOutOfMemory.
  static Result<HostKvPool> create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages);

  [[nodiscard]] const KvSpec& spec() const { return spec_; }
  [[nodiscard]] std::int64_t n_pages() const { return n_pages_; }
  [[nodiscard]] std::int64_t n_slots() const { return n_pages_ * spec_.page_tokens; }
  /// The key, [head_dim], of one slot; the next slots of the page follow it in memory.
  [[nodiscard]] std::span<T> key(std::int32_t layer, std::int32_t kv_head, std::int64_t slot) const {
    return at(keys_, layer, kv_head, slot);
  }
  /// The value, likewise; in a cache of latents, the first latent_dim elements of the key.
  [[nodiscard]] std::span<T> value(std::int32_t layer, std::int32_t kv_head, std::int64_t slot) const {
    if (spec_.latent_dim > 0) return key(layer, kv_head, slot).first(static_cast<std::size_t>(spec_.latent_dim));
    return at(values_, layer, kv_head, slot);
  }

  Result<void> copy_pages(std::span<const PageCopy> copies);
  Result<void> export_range(const KvRange& range, std::span<float> out) const;

 private:
  [[nodiscard]] std::span<T> at(const HostBuffer& buffer, std::int32_t layer, std::int32_t kv_head,
                                std::int64_t slot) const {
    const std::int64_t row = (std::int64_t{layer} * spec_.n_kv_heads + kv_head) * n_slots() + slot;
    return {reinterpret_cast<T*>(buffer.data()) + row * spec_.head_dim, static_cast<std::size_t>(spec_.head_dim)};
  }

  KvSpec spec_;
  std::int64_t n_pages_ = 0;
  HostBuffer keys_;
  HostBuffer values_;
};

}  // namespace secondsource
