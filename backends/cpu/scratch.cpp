#include "cpu/scratch.h"

#include <algorithm>

#include "core/check.h"
#include "core/checked.h"

namespace secondsource::cpu {
namespace {

Result<void> grow(MemoryAccount& account, HostBuffer& buffer, std::size_t bytes) {
  if (bytes <= buffer.size_bytes()) return {};
  buffer = HostBuffer();  // before the new one, so that the peak does not count both
  SS_TRY(buffer, HostBuffer::allocate(account, MemoryPurpose::kWorkspace, bytes, HugePages::kAdvise));
  return {};
}

}  // namespace

Result<void> Scratch::reserve(const ScratchNeed& need) {
  SS_TRY_VOID(grow(*account_, activations_, need.activations));
  SS_TRY_VOID(grow(*account_, partials_, need.partials));
  SS_TRY_VOID(grow(*account_, rotations_, need.rotations));
  // An odd number of cache lines apart from a power of two, so that threads do not meet in the same cache sets.
  have_.per_thread = std::max(have_.per_thread, round_up(need.per_thread, std::size_t{4096}) + 192);
  std::size_t bytes = have_.per_thread * static_cast<std::size_t>(n_threads_);
  // Unpacked tiles in small pages would crowd each other out of the second-level cache, whose sets belong to addresses.
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
  const std::span<std::byte> piece = bytes_.first(n);
  bytes_ = bytes_.subspan(rounded);
  return piece;
}

}  // namespace secondsource::cpu
