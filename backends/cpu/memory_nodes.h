#pragma once
// Placement of memory on machines with several memory nodes (NUMA). The system puts a page on the node of the thread that
// touches it first. Each thread touches its part here, before weights are packed, because a thread that steals packing
// work would otherwise move those pages to its own node for good. Does nothing if threads are not pinned or share a node.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cpu/thread_pool.h"

namespace secondsource::cpu {

class MemoryNodes {
 public:
  /// The pool outlives this.
  explicit MemoryNodes(ThreadPool& pool) : pool_(&pool) {}

  /// Divides `bytes`, n_items items of equal size, among the threads by range_of_thread() and puts each part on the node
  /// of its thread. The bytes come from a WeightArena and have not been touched. A huge page in which the parts of two
  /// nodes meet is replaced by small pages.
  void place(std::span<std::byte> bytes, std::int64_t n_items);

  /// Alternates the pages of `bytes` between the nodes of the threads, for memory that any thread may read. `bytes`
  /// starts at the beginning of a mapping and has not been touched.
  void interleave(std::span<std::byte> bytes);

 private:
  /// Whether the threads are pinned on several nodes; finds the nodes at the first call.
  bool has_several();

  ThreadPool* pool_;
  std::vector<int> nodes_;  ///< [n_threads]; empty before the first call of has_several()
};

}  // namespace secondsource::cpu
