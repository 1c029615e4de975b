#pragma once
// Mixtures of experts on the CPU. A routed row is a token with one of its experts; the routed rows of one expert are the
// rows of a matmul of their own, over the same tiles and kernels as every other matmul.

#include <cstdint>
#include <map>
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

/// Runs Route, GroupedMatmul and HeadMatmul operations. A HeadMatmul is computed as a mixture in which each head is an expert that every
/// token has chosen. All operations of a step share the scratch memory; nothing in it outlives a call of run().
class MixtureRunner {
 public:
  /// All arguments must outlive this object.
  MixtureRunner(const KernelTable& table, ThreadPool& pool, const PackedWeights& weights, const Scratch& scratch,
                MemoryAccount& account)
      : table_(table), pool_(pool), weights_(weights), scratch_(scratch), account_(account) {}

  /// Stores the tiles of a router in f32 unless they are f32 already, because its products decide which experts are computed. Errors:
  /// kOutOfMemory.
  Result<void> keep_router(WeightId gate);

  [[nodiscard]] ScratchNeed scratch_need(const Route& op, const StepGraph& graph, const Bucket& bucket) const;
  [[nodiscard]] ScratchNeed scratch_need(const GroupedMatmul& op, const StepGraph& graph, const Bucket& bucket) const;

  [[nodiscard]] ScratchNeed scratch_need(const HeadMatmul& op, const StepGraph& graph, const Bucket& bucket) const;

  void run(const Route& op, const HostFrame& frame);
  void run(const HeadMatmul& op, const HostFrame& frame);
  /// Errors: kInternal for an expert that does not exist.
  Result<void> run(const GroupedMatmul& op, const HostFrame& frame);

  /// The names of the kernels that `n_tokens` tokens may take; which of them they take is known only when the router has run.
  [[nodiscard]] std::string kernel_name(const GroupedMatmul& op, std::int64_t n_tokens) const;
  [[nodiscard]] std::string kernel_name(const HeadMatmul& op, std::int64_t n_tokens) const;

 private:
  /// The weight of a routed matmul: the tiles of one expert after the other, or those of a router.
  struct ExpertTiles {
    const std::byte* first = nullptr;
    std::int64_t tile_bytes = 0;
    std::int64_t n_tiles = 0;  ///< per expert
    std::int64_t k_padded = 0;
    const float* scales = nullptr;           ///< one per row, in the order of the tiles; null: none
    const std::int32_t* row_sums = nullptr;  ///< likewise
    ActQuant act = ActQuant::kNone;
    float act_scale = 0.0F;
    std::int64_t tiles_per_column = 1;  ///< 2: gate and up alternate
    Product product = Product::kF32;
  };
  /// A matmul of routed rows. Row number token * n_top + slot belongs to a token and one of its experts.
  struct RoutedMatmul {
    ExpertTiles weight;
    MatrixView<const float> x;
    std::int64_t rows_per_x = 1;  ///< consecutive row numbers that multiply the same row of x
    MatrixView<float> out;        ///< one row per row number
    Finish finish = Finish::kNone;
    const float* bias = nullptr;  ///< of all experts, one after the other; null: none
  };
  /// The routed rows of one expert: Plan::rows[first, first + n_rows).
  struct ExpertGroup {
    std::int32_t expert = 0;
    std::int64_t first = 0;
    std::int64_t n_rows = 0;
  };
  /// The rows of a group that the kernel multiplies at once.
  struct RoutedBlock {
    std::int64_t group = 0;
    std::int64_t first = 0;  ///< in Plan::rows
    std::int64_t n_rows = 0;
  };
  /// What a thread multiplies at once: some tiles of a group's expert with all rows of the group or, in blocks, with the rows of one group
  /// of the BlockCut.
  struct Chunk {
    std::int64_t group = 0;
    std::int64_t first_tile = 0;  ///< of the expert
    std::int64_t n_tiles = 0;
    int cut_group = 0;
  };
  /// Which rows are multiplied with which expert. Kept between calls so that its vectors need not be allocated again.
  struct Plan {
    std::vector<std::int32_t> rows;  ///< row numbers, sorted by expert, those of one expert in ascending order
    std::vector<ExpertGroup> groups;
    std::vector<RoutedBlock> blocks;
    std::vector<Chunk> chunks;  ///< of products in which an expert has several row blocks
    [[nodiscard]] std::int64_t n_rows() const { return static_cast<std::int64_t>(rows.size()); }
  };
  /// How a group of some number of rows is multiplied.
  struct GroupKernel {
    ProductKernel kernel;
    Unpacking unpacking;
    std::int64_t pass_columns = 0;  ///< columns of one pass
    bool in_blocks = false;         ///< several row blocks at once (block_product.h)
  };

  [[nodiscard]] ExpertTiles router_tiles(WeightId gate) const;
  [[nodiscard]] ExpertTiles expert_tiles(WeightId weights, ActQuant act, float act_scale = 0.0F) const;
  [[nodiscard]] std::string kernel_name(const ExpertTiles& tiles, WeightId weights, std::int64_t n_rows) const;
  /// Null without a bias.
  [[nodiscard]] const float* bias_of(const std::optional<WeightId>& bias) const;
  [[nodiscard]] GroupKernel kernel_for(const ExpertTiles& weight, std::int64_t n_rows) const;
  /// The kernel for so many rows that tiles are unpacked, if the product has an unpacking.
  [[nodiscard]] GroupKernel kernel_of_many(const ExpertTiles& weight) const;
  [[nodiscard]] ScratchNeed routed_need(const ExpertTiles& weight, std::int64_t n_rows, std::int64_t k) const;
  /// Bytes of a packed row of x: the most that the kernels for one, few and many rows need, so that the place of a row does not depend on
  /// how many rows the router gives to each expert.
  [[nodiscard]] std::size_t row_bytes(const ExpertTiles& weight) const;
  [[nodiscard]] static std::size_t panel_bytes(const GroupKernel& kernel);

  /// Every row goes to expert 0: the router's own matmul.
  static void plan_router(std::int64_t n_tokens, Plan& plan);
  /// Every token goes to every head.
  static void plan_heads(std::int64_t n_tokens, std::int32_t n_heads, Plan& plan);
  /// Sorts the row numbers by expert. Errors: kInternal for an expert that is not below n_experts.
  static Result<void> plan_experts(const MatrixView<std::int32_t>& expert, std::int64_t n_experts, Plan& plan);
  void plan_blocks(const ExpertTiles& weight, Plan& plan) const;
  void plan_chunks(const ExpertTiles& weight, Plan& plan) const;

  /// The planned rows times their experts, from x to finished outputs.
  void multiply(const RoutedMatmul& matmul, Plan& plan);
  void pack_rows(const RoutedMatmul& matmul, const Plan& plan, const PackedActivations& activations);
  void multiply_chunk(const RoutedMatmul& matmul, const Plan& plan, const PackedActivations& activations,
                      const Chunk& chunk, int thread) const;
  /// The product of one expert's rows, for a kernel that takes them in blocks.
  [[nodiscard]] BlockProduct block_product(const ExpertTiles& weight, const GroupKernel& kernel, std::int32_t expert,
                                           std::int64_t n_rows) const;
  /// row_scales: of the plan's rows.
  void finish_block(const RoutedMatmul& matmul, const Plan& plan, const float* row_scales, const ExpertGroup& group,
                    const TileSums& sums, const RowBlock& block) const;
  /// Scratch memory of choose_experts().
  struct ChoiceScratch {
    std::span<std::int32_t> order;  ///< [n_experts]
    std::span<double> merits;       ///< [n_experts]: the experts with the largest ones are chosen
    std::span<double> of_groups;    ///< [n_groups]: score of each group; NaN if it was chosen
  };
  [[nodiscard]] static ChoiceScratch cut_choice(std::span<std::byte> scratch, const Route& op, std::int64_t n_experts);
  /// Writes the n_top experts of one token and their weights. scores: [n_experts].
  void choose_experts(const Route& op, const HostFrame& frame, std::int64_t token, std::span<const float> scores,
                      const ChoiceScratch& scratch) const;
  /// Computes the merits of the experts; they are -inf in groups that are not chosen. No score may be NaN.
  void judge_experts(const Route& op, std::span<const float> scores, const ChoiceScratch& scratch) const;
  /// out[t, :] = aux[t, :] + sum_j weight[t, j] * products[t * n_top + j, :], in the order of j.
  void add_experts(const GroupedMatmul& op, const HostFrame& frame, const MatrixView<float>& products);

  const KernelTable& table_;
  ThreadPool& pool_;
  const PackedWeights& weights_;
  const Scratch& scratch_;
  MemoryAccount& account_;
  std::map<std::int32_t, HostBuffer> routers_;  ///< indexed by weight
  Plan plan_;
};

}  // namespace secondsource::cpu
