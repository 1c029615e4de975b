#pragma once
// One paged KV cache in device memory: [layer, keys | values, page, kv_head, page_tokens, head_dim] BF16. The rows of one
// head of a page are contiguous, and a page of one layer is one copy. A cache of latents has keys alone.

#include <span>

#include "backend/backend.h"
#include "gpu/host/device_memory.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

/// Whether the attention kernels and the cache support heads of these dimensions.
[[nodiscard]] Support supports_head_dim(const HeadShape& heads);

class KvPool {
 public:
  /// The cache is zeroed. Errors: kInvalidInput; kUnsupported for a type or head_dim that the kernels do not support;
  /// kOutOfMemory.
  static Result<KvPool> create(DeviceMemory& memory, const KvSpec& spec, std::int64_t n_pages);

  [[nodiscard]] const KvSpec& spec() const { return spec_; }
  [[nodiscard]] std::int64_t n_pages() const { return n_pages_; }
  [[nodiscard]] KvView view(std::int32_t layer) const;
  /// Enqueues the copies on the stream.
  Result<void> copy_pages(DeviceMemory& memory, std::span<const PageCopy> copies);
  Result<void> export_range(DeviceMemory& memory, const KvRange& range, std::span<float> out) const;

 private:
  /// Keys and values, or keys alone.
  [[nodiscard]] std::int32_t n_halves() const { return spec_.latent_dim > 0 ? 1 : 2; }
  /// Bytes of one page of one layer, of keys or values.
  [[nodiscard]] std::size_t page_bytes() const;
  [[nodiscard]] std::byte* half(std::int32_t layer, bool values) const;

  KvSpec spec_;
  std::int64_t n_pages_ = 0;
  DeviceBuffer buffer_;
};

}  // namespace secondsource::gpu
