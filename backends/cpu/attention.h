#pragma once
// Attention over the paged cache on the CPU: cuts the work into items for the threads and runs the attention kernel.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend_kit/eager_step.h"
#include "cpu/kv_pool.h"
#include "cpu/packed_weight.h"
#include "cpu/scratch.h"
#include "cpu/thread_pool.h"

namespace secondsource::cpu {

/// Runs Attention operations. All operations of a step share the scratch memory; nothing in it outlives a call of run().
class AttentionRunner {
 public:
  /// All arguments must outlive this object.
  AttentionRunner(const KernelTable& table, ThreadPool& pool, const PackedWeights& weights, const Scratch& scratch)
      : table_(table), pool_(pool), weights_(weights), scratch_(scratch) {}

  [[nodiscard]] ScratchNeed scratch_need(const Attention& op, const Bucket& bucket, const KvPool& cache) const;

  /// Errors: kInvalidInput for a position or a page that is not in the cache.
  Result<void> run(const Attention& op, const HostFrame& frame, const KvPool& cache);

  /// The name of the kernel for a cache of this type.
  [[nodiscard]] std::string kernel_name(DType kv_dtype) const;

 private:
  /// Query rows of one sequence and KV head against a range of its cache: one thread's work. A row is a token with one
  /// of the query heads that share the KV head.
  struct Item {
    std::int32_t seq = 0;
    std::int32_t kv_head = 0;
    std::int64_t first_row = 0;  ///< (token of the sequence) * heads per KV head + head
    std::int32_t n_rows = 0;
    std::int64_t first_token = 0;  ///< of the cache, a multiple of 16
    std::int64_t end_token = 0;
    std::int64_t partial = -1;  ///< index of this part's first state in the scratch memory; -1: the item is not split
  };
  /// The parts of an item that was split along the cache, to be merged.
  struct Merge {
    std::int32_t seq = 0;
    std::int32_t kv_head = 0;
    std::int64_t first_row = 0;
    std::int32_t n_rows = 0;
    std::int64_t partial = 0;
    std::int32_t n_parts = 0;
  };
  /// Kept between calls so that its vectors need not be allocated again.
  struct Plan {
    std::vector<Item> items;
    std::vector<Merge> merges;
  };
  /// One call of run(): what its parts need to know.
  struct Call {
    const Attention& op;
    const Batch& batch;
    const KvPool& cache;
    const AttendKernel& few_rows;
    const AttendKernel& many_rows;
    MatrixView<float> q;
    MatrixView<float> out;
    const float* sinks = nullptr;
    std::int32_t heads_per_kv = 1;
    [[nodiscard]] const AttendKernel& kernel_of(const Item& item) const {
      return item.n_rows < many_rows.from_rows ? few_rows : many_rows;
    }
    [[nodiscard]] const float* sink_of(std::int64_t head) const { return sinks == nullptr ? nullptr : sinks + head; }
  };
  /// One thread's arrays, cut from its scratch memory.
  struct Buffers {
    std::span<float> query;
    std::span<float> packed;
    std::span<float> query_scales;  ///< of the packed rows
    std::span<float> scores;
    std::span<float> weights;
    SoftmaxState state;
    std::span<std::int64_t> first_visible;
    std::span<std::int64_t> last_visible;
    /// A copy of the last tile of V, in which the slots after the last token are zero. For a cache of latents: every tile of V of a block.
    std::span<std::byte> values;
    std::span<std::byte> operands;  ///< AttendArgs::operands
  };
  /// Token (of the batch) and head of one row of an item.
  struct RowPlace {
    std::int64_t token = 0;
    std::int64_t head = 0;
  };

  [[nodiscard]] static Buffers cut(std::span<std::byte> scratch, const KvPool& cache, const AttendKernel& many_rows);
  [[nodiscard]] static std::size_t buffer_bytes(const KvPool& cache, const AttendKernel& many_rows);
  static Result<void> check_pages(const Attention& op, const Batch& batch, const KvPool& cache);
  void make_plan(const Attention& op, const Batch& batch, Plan& plan) const;
  [[nodiscard]] static RowPlace place_of(const Call& call, const Item& item, std::int64_t row);
  void pack_query(const Call& call, const Item& item, const Buffers& buffers) const;
  /// Runs the kernel over the item's part of the cache, 128 tokens at a time.
  static void attend_blocks(const Call& call, const Item& item, const Buffers& buffers);
  void attend(const Call& call, const Item& item, int thread) const;
  void merge_parts(const Call& call, const Merge& merge) const;

  const KernelTable& table_;
  ThreadPool& pool_;
  const PackedWeights& weights_;
  const Scratch& scratch_;
  Plan plan_;
};

}  // namespace secondsource::cpu
