#pragma once
// Matmul on the CPU: packs the activations once, then every thread streams its own range of weight tiles.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend_kit/eager_step.h"
#include "cpu/block_product.h"
#include "cpu/packed_weight.h"
#include "cpu/scratch.h"
#include "cpu/thread_pool.h"
#include "cpu/tile_product.h"

namespace secondsource::cpu {

/// Runs Matmul operations. All operations of a step share the scratch memory; nothing in it outlives a call of run().
class MatmulRunner {
 public:
  /// All arguments must outlive this object.
  MatmulRunner(const KernelTable& table, ThreadPool& pool, const PackedWeights& weights, const Scratch& scratch)
      : table_(table), pool_(pool), weights_(weights), scratch_(scratch) {}

  [[nodiscard]] ScratchNeed scratch_need(const Matmul& op, const StepGraph& graph, const Bucket& bucket) const;

  /// Notes which weight each matmul of the graph is followed by, so that idle threads can prefetch it; the last one is
  /// followed by the first, as in the next step.
  void order_weights(const StepGraph& graph);

  void run(const Matmul& op, const HostFrame& frame);

  /// The name of the kernel for `n_rows` rows, for example "unpacked int8, matmul_bf16_bf16_f32acc_avx512_bf16".
  [[nodiscard]] std::string kernel_name(const Matmul& op, std::int64_t n_rows) const;

 private:
  /// How one number of rows is multiplied.
  struct Plan {
    ProductKernel kernel;
    Unpacking unpacking;
    bool is_many = false;    ///< at least kUnpackFromRows rows: panels are larger, and the next row block is prefetched
    bool in_passes = false;  ///< over the columns, kPassColumns at a time
    bool in_blocks = false;  ///< several row blocks at once (block_product.h)
    bool writes_past_caches = false;
    std::int64_t panel_tiles = 0;
  };
  /// One call of run(): what its parts need to know.
  struct Call {
    const Matmul& op;
    const PackedWeight& weight;
    const Plan& plan;
    PackedActivations activations;
    std::int64_t n_rows = 0;
    MatrixView<float> out;
    std::optional<MatrixView<float>> aux;
  };
  /// Row blocks [first, end).
  struct RowBlocks {
    int first = 0;
    int end = 0;
  };
  /// Adjacent tiles, which are multiplied with all row blocks before the next panel.
  struct Panel {
    std::int64_t first_tile = 0;
    std::int64_t n_tiles = 0;
  };

  [[nodiscard]] Plan make_plan(const Matmul& op, const PackedWeight& weight, std::int64_t n_rows) const;
  /// Bytes of a tile, or of one pass over it, as the plan's kernel reads it.
  [[nodiscard]] static std::int64_t multiplied_tile_bytes(const Plan& plan, const PackedWeight& weight);
  /// The scratch memory of a thread: the bytes of unpacked tiles, and how many floats of sums wait for the next pass.
  [[nodiscard]] static std::size_t panel_bytes(const Plan& plan, const PackedWeight& weight);
  [[nodiscard]] static std::size_t pass_sums(const Plan& plan, std::int64_t n_rows);

  /// out = x . weight for a weight of one row, which is a plain vector (it may also be a norm or a bias): dot products
  /// in f32.
  void run_vector(const Matmul& op, const PackedWeight& weight, const HostFrame& frame) const;
  void pack_activations(const MatrixView<float>& x, const Call& call);
  [[nodiscard]] static RowBlock row_block(const Call& call, int block);
  /// One panel times some row blocks, from sums to finished outputs.
  void multiply_panel(const Call& call, const Panel& panel, RowBlocks blocks, int thread) const;
  /// As multiply_panel(), in passes over the columns.
  void multiply_in_passes(const Call& call, const Panel& panel, RowBlocks blocks, int thread) const;
  [[nodiscard]] BlockProduct block_product(const Plan& plan, const PackedWeight& weight, std::int64_t n_rows) const;
  void run_in_blocks(const Call& call);

  /// Prefetches the lines that finish_block() will write.
  static void prefetch_outputs(const Call& call, const Panel& panel, const RowBlock& block);
  void finish_block(const Call& call, const TileSums& sums, const RowBlock& block) const;
  /// The tiles of the weight that follows this one; empty if none is known.
  [[nodiscard]] NextStream stream_after(WeightId weight) const;

  const KernelTable& table_;
  ThreadPool& pool_;
  const PackedWeights& weights_;
  const Scratch& scratch_;
  std::vector<std::int32_t> next_weight_;  ///< indexed by weight; -1: not known
};

}  // namespace secondsource::cpu
