#include "cpu/scratch.h"

#include <algorithm>

#include "core/check.h"
#include "core/checked.h"

namespace secondsource::cpu {
namespace {

Result<void> grow(MemoryAccount& account, HostBuffer& buffer, std::size_t bytes) {
  if (bytes <= buffer.size_bytes()) return {};
  buffer = HostBuffer();  // freed before the new allocation, so that the peak does not count both
  SS_TRY(buffer, HostBuffer::allocate(account, MemoryPurpose::kWorkspace, bytes, HugePages::kAdvise));
  return {};
}

}  // namespace

ScratchNeed larger(const ScratchNeed& a, const ScratchNeed& b) {
  return {.activations = std::max(a.activations, b.activations),
          .partials = std::max(a.partials, b.partials),
          .rotations = std::max(a.rotations, b.rotations),
          .per_thread = std::max(a.per_thread, b.per_thread)};
}

Result<void> Scratch::reserve(const ScratchNeed& need) {
  SS_TRY_VOID(grow(*account_, activations_, need.activations));
  SS_TRY_VOID(grow(*account_, partials_, need.partials));
  SS_TRY_VOID(grow(*account_, rotations_, need.rotations));
  // Whole pages plus three cache lines: if the areas of two threads were a power of two apart, the threads would use the same cache sets.
  have_.per_thread = std::max(have_.per_thread, round_up(need.per_thread, std::size_t{4096}) + 192);
  std::size_t bytes = have_.per_thread * static_cast<std::size_t>(n_threads_);
  // In small pages, whose physical addresses are random, unpacked tiles would evict each other from the sets of the
  // second-level cache.
  if (bytes > kHugePageBytes / 2) bytes = round_up(bytes, kHugePageBytes);
  return grow(*account_, threads_, bytes);
}

std::span<std::byte> Scratch::of_thread(int thread) const {
  SS_DCHECK(thread >= 0 && thread < n_threads_, "thread out of range");
  return threads_.as<std::byte>().subspan(static_cast<std::size_t>(thread) * have_.per_thread, have_.per_thread);
}

std::span<std::byte> ScratchCutter::take_bytes(std::size_t n) {
  const std::size_t rounded = round_up(n, std::size_t{64});
  SS_CHECK(rounded <= bytes_.size(), "a thread's scratch is too small");
  const std::span<std::byte> taken = bytes_.first(n);
  bytes_ = bytes_.subspan(rounded);
  return taken;
}

}  // namespace secondsource::cpu
