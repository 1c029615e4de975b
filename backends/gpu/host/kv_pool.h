#pragma once
// One paged cache in device memory: [layer, keys | values, page, kv_head, page_tokens, head_dim] BF16, so that a page
// of one head is one piece of memory and a page of a layer one copy.

#include <span>

#include "backend/backend.h"
#include "gpu/host/device_memory.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

class KvPool {
 public:
  /// Zeroed. Errors: kInvalidInput, kUnsupported for a type or head_dim that the kernels do not have, kOutOfMemory.
  static Result<KvPool> create(DeviceMemory& memory, const KvSpec& spec, std::int64_t n_pages);

  [[nodiscard]] const KvSpec& spec() const { return spec_; }
  [[nodiscard]] std::int64_t n_pages() const { return n_pages_; }
  [[nodiscard]] KvView view(std::int32_t layer) const;
  /// In the stream's order.
  Result<void> copy_pages(DeviceMemory& memory, std::span<const PageCopy> copies);
  Result<void> export_range(DeviceMemory& memory, const KvRange& range, std::span<float> out) const;

 private:
  /// Bytes of one page of one layer, keys or values.
  [[nodiscard]] std::size_t page_bytes() const;
  [[nodiscard]] std::byte* half(std::int32_t layer, bool values) const;

  KvSpec spec_;
  std::int64_t n_pages_ = 0;
  DeviceBuffer buffer_;
};

}  // namespace secondsource::gpu
