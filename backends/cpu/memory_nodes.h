#pragma once
// Where memory lies on a machine of several memory nodes. The system puts a page on the node of the thread that touches
// it first; that happens here, before weights are packed, since a thread that takes over another's part of that work
// would bring the pages to its own node for good. Does nothing where threads are not pinned, or all on one node.

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

  /// `piece` is [n_units] pieces of equal size, shared out among the threads by range_of_thread(): each part goes to
  /// the node of its thread. The piece is of a WeightArena, all zeros and not touched yet. Huge pages with a border of
  /// nodes in them give way to small ones.
  void place(std::span<std::byte> piece, std::int64_t n_units);

  /// The pages of `bytes`, a mapping from its beginning on, alternate between the nodes of the threads: for what any
  /// thread may read. Not touched yet.
  void interleave(std::span<std::byte> bytes);

 private:
  /// Finds the nodes once. Are there several?
  bool has_several();

  ThreadPool* pool_;
  std::vector<int> nodes_;  ///< of the threads; empty: not looked at yet
};

}  // namespace secondsource::cpu
