#include "cpu/memory_nodes.h"

#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "cpu/weight_arena.h"

namespace secondsource::cpu {
namespace {

constexpr std::size_t kPageBytes = 4096;

void use_small_pages_around(std::byte* border) {
  const std::size_t within = reinterpret_cast<std::uintptr_t>(border) % kHugePageBytes;
  if (within != 0) (void)madvise(border - within, kHugePageBytes, MADV_NOHUGEPAGE);  // a hint
}

/// Writes a zero to one byte of every page. The memory is zero already, so the only effect is that the system places the page.
void touch(std::span<std::byte> bytes) {
  volatile std::byte* const at = bytes.data();
  for (std::size_t i = 0; i < bytes.size(); i += kPageBytes) at[i] = std::byte{0};
  if (!bytes.empty()) at[bytes.size() - 1] = std::byte{0};
}

}  // namespace

bool MemoryNodes::has_several() {
  if (!pool_->pins_threads()) return false;
  if (nodes_.empty()) {
    nodes_.resize(static_cast<std::size_t>(pool_->n_threads()));
    pool_->run_on_each_thread([&](int thread) {
      unsigned node = 0;
      (void)getcpu(nullptr, &node);  // if this fails, every thread counts as on node 0
      nodes_[static_cast<std::size_t>(thread)] = static_cast<int>(node);
    });
  }
  return std::ranges::any_of(nodes_, [&](int node) { return node != nodes_.front(); });
}

void MemoryNodes::place(std::span<std::byte> bytes, std::int64_t n_items) {
  if (!has_several()) return;
  const int n_threads = pool_->n_threads();
  const std::size_t item_bytes = bytes.size() / static_cast<std::size_t>(n_items);
  const auto part = [&](int thread) {
    const ItemRange items = range_of_thread(n_items, thread, n_threads);
    return bytes.subspan(static_cast<std::size_t>(items.first) * item_bytes,
                         static_cast<std::size_t>(items.end - items.first) * item_bytes);
  };
  // Adjacent memory belongs to other weights, whose parts at the border may be on other nodes.
  use_small_pages_around(bytes.data());
  for (int thread = 1; thread < n_threads; ++thread) {
    const auto t = static_cast<std::size_t>(thread);
    if (nodes_[t] != nodes_[t - 1]) use_small_pages_around(part(thread).data());
  }
  use_small_pages_around(bytes.data() + bytes.size());
  pool_->run_on_each_thread([&](int thread) { touch(part(thread)); });
}

void MemoryNodes::interleave(std::span<std::byte> bytes) {
  if (!has_several()) return;
  std::array<std::uint64_t, 16> mask{};
  constexpr std::size_t kMaxNodes = 64 * mask.size();
  for (const int node : nodes_) {
    const auto n = static_cast<std::size_t>(node) % kMaxNodes;
    mask[n / 64] |= std::uint64_t{1} << n % 64;
  }
  // A hint: a container may forbid it.
  (void)syscall(SYS_mbind, bytes.data(), bytes.size(), MPOL_INTERLEAVE, mask.data(), kMaxNodes, 0U);
}

}  // namespace secondsource::cpu
