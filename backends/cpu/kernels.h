#pragma once
// The operations of a step on this CPU: cuts each into chunks for the thread pool and calls the kernel table.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend_kit/eager_step.h"
#include "cpu/kernels/kernel_table.h"
#include "cpu/kv_pool.h"
#include "cpu/packed_weight.h"
#include "cpu/scratch.h"
#include "cpu/thread_pool.h"

namespace secondsource::cpu {

/// Which kernel a matmul with this weight takes.
[[nodiscard]] Product product_of(WeightEncoding encoding, ActQuant act);

/// Bytes of a column of a tile that was unpacked for this product.
[[nodiscard]] std::int64_t unpacked_column_bytes(Product into);

/// Which kernel attends to a cache of this type.
[[nodiscard]] const AttendKernel& attend_kernel(const KernelTable& table, DType kv_dtype);

/// One thread's arrays for one call of the attention kernel.
struct AttentionBuffers {
  std::span<float> query;
  std::span<float> packed;
  std::span<float> scores;
  std::span<float> weights;
  std::span<float> o;
  std::span<float> m;
  std::span<float> l;
  std::span<std::int64_t> first_seen;
  std::span<std::int64_t> last_seen;
  std::span<std::byte> last_values;
};

class CpuKernels final : public HostKernels {
 public:
  /// All must outlive this.
  CpuKernels(const KernelTable& table, ThreadPool& pool, const PackedWeights& weights, std::vector<KvPool>& kv_pools,
             MemoryAccount& account);

  /// Room for a step of this graph over this cache. Errors: kOutOfMemory.
  Result<void> reserve(const StepGraph& graph, const Bucket& bucket, const KvPool& kv_pool);

  Result<void> run(const Embed& op, const HostFrame& frame) override;
  Result<void> run(const RmsNorm& op, const HostFrame& frame) override;
  Result<void> run(const Matmul& op, const HostFrame& frame) override;
  Result<void> run(const RopeAppend& op, const HostFrame& frame) override;
  Result<void> run(const Attention& op, const HostFrame& frame) override;
  Result<void> run(const Route& op, const HostFrame& frame) override;
  Result<void> run(const GroupedMatmul& op, const HostFrame& frame) override;
  Result<void> run(const AllReduce& op, const HostFrame& frame) override;
  void for_each(std::int64_t n, const std::function<void(std::int64_t)>& body) override;
  [[nodiscard]] OpGroup describe(const Op& op, std::int32_t op_index, std::int64_t n_rows) const override;

 private:
  /// One call of the attention kernel: query rows of one sequence and KV head against a range of its cache.
  struct AttentionItem {
    std::int32_t seq = 0;
    std::int32_t kv_head = 0;
    std::int64_t first_row = 0;  ///< (token of the sequence) * heads per KV head + head
    std::int32_t n_rows = 0;
    std::int64_t first_token = 0;  ///< of the cache, a multiple of 16
    std::int64_t end_token = 0;
    std::int64_t partial = -1;  ///< where this part's sums go; -1: it is the only part
  };
  /// Token (of the batch) and head of one row of an item.
  struct RowPlace {
    std::int64_t token = 0;
    std::int64_t head = 0;
  };
  /// Parts of the same rows, to be joined.
  struct AttentionJoin {
    std::int32_t seq = 0;
    std::int32_t kv_head = 0;
    std::int64_t first_row = 0;
    std::int32_t n_rows = 0;
    std::int64_t partial = 0;
    std::int32_t n_parts = 0;
  };

  struct MatmulPlan {
    const ProductKernel& kernel;
    Unpacking unpacking;
    bool is_many = false;    ///< rows: enough to unpack for, and to ask ahead
    bool in_passes = false;  ///< through the columns, kPassColumns at a time
    std::int64_t panel_tiles = 0;
  };
  /// Tiles one after the other, `tile_bytes` apart.
  struct Tiles {
    const std::byte* first = nullptr;
    std::int64_t tile_bytes = 0;
  };
  /// Rows that the kernel multiplies at once.
  struct RowBlock {
    int first = 0;
    int n_rows = 0;
    const std::byte* activations = nullptr;  ///< packed
  };
  /// Blocks [first, end).
  struct RowBlocks {
    int first = 0;
    int end = 0;
  };
  /// c[rows of a block, 16 * n_tiles], not yet scaled.
  struct TileSums {
    const float* c = nullptr;
    std::int64_t first_tile = 0;
    std::int64_t n_tiles = 0;
  };

  // mixture.cpp
  /// What the rows of a mixture's product are multiplied with: the tiles of one expert after the other, or a router's.
  struct ExpertTiles {
    const std::byte* first = nullptr;
    std::int64_t tile_bytes = 0;
    std::int64_t n_tiles = 0;  ///< of each expert
    std::int64_t k_padded = 0;
    const float* scales = nullptr;           ///< of rows, in the order of the tiles; null: none
    const std::int32_t* row_sums = nullptr;  ///< the same
    bool is_quantized = false;               ///< what is multiplied with them
    std::int64_t tiles_per_column = 1;       ///< 2: gate and up alternate
    Product product = Product::kF32;
  };
  /// A product of chosen rows, each a token with one of its experts: number token * n_top + slot.
  struct ChosenProduct {
    ExpertTiles weight;
    MatrixView<const float> x;
    std::int64_t chosen_per_x = 1;  ///< neighbouring numbers that multiply the same row of x
    MatrixView<float> out;          ///< a row a number
    Finish finish = Finish::kNone;
  };
  /// The chosen rows of one expert, which are neighbours in chosen_.
  struct ExpertGroup {
    std::int32_t expert = 0;
    std::int64_t first = 0;
    std::int64_t n_rows = 0;
  };
  /// Of one group, what the kernel multiplies at once.
  struct ChosenBlock {
    std::int64_t group = 0;
    std::int64_t first = 0;  ///< in chosen_
    std::int64_t n_rows = 0;
  };
  /// How a group of so many rows is multiplied.
  struct ChosenKernel {
    const ProductKernel& kernel;
    Unpacking unpacking;
    std::int64_t pass_columns = 0;  ///< that are gone through at once
  };
  /// A router's tiles in f32, whatever they are stored as: they decide. Errors: kOutOfMemory.
  Result<void> keep_router(WeightId gate);
  [[nodiscard]] ExpertTiles router_tiles(WeightId gate) const;
  [[nodiscard]] ExpertTiles expert_tiles(const GroupedMatmul& op) const;
  [[nodiscard]] ScratchNeed route_need(const Route& op, const StepGraph& graph, const Bucket& bucket) const;
  [[nodiscard]] ScratchNeed grouped_need(const GroupedMatmul& op, const StepGraph& graph, const Bucket& bucket) const;
  [[nodiscard]] ScratchNeed chosen_need(const ExpertTiles& weight, std::int64_t n_chosen, std::int64_t k) const;
  [[nodiscard]] ChosenKernel chosen_kernel(const ExpertTiles& weight, std::int64_t n_rows) const;
  /// Bytes of a packed row of x, whichever kernel takes it.
  [[nodiscard]] std::size_t chosen_row_bytes(const ExpertTiles& weight) const;
  [[nodiscard]] static std::size_t chosen_panel_bytes(const ChosenKernel& chosen);
  /// Sorts the numbers by expert into chosen_ and groups_, each expert's in their order.
  Result<void> group_by_expert(const MatrixView<std::int32_t>& expert, std::int64_t n_experts);
  /// The groups' rows through the product, from x to finished outputs.
  void multiply_chosen(const ChosenProduct& product);
  void pack_chosen(const ChosenProduct& product);
  void multiply_group(const ChosenProduct& product, const ExpertGroup& group, std::int64_t first_tile,
                      std::int64_t end_tile, int thread);
  static Tiles unpack_chosen(const ChosenKernel& chosen, const Tiles& tiles, std::int64_t n_tiles,
                             std::int64_t n_columns, std::span<std::byte> panel);
  void finish_chosen(const ChosenProduct& product, const ExpertGroup& group, const TileSums& sums,
                     const RowBlock& block);
  void choose_experts(const Route& op, const HostFrame& frame, std::int64_t token, std::span<const float> scores,
                      std::span<std::int32_t> order) const;

  [[nodiscard]] ScratchNeed matmul_need(const Matmul& op, const StepGraph& graph, const Bucket& bucket) const;
  [[nodiscard]] ScratchNeed attention_need(const Attention& op, const Bucket& bucket, const KvPool& kv_pool) const;
  [[nodiscard]] KvPool& kv_pool(const HostFrame& frame) const;

  void run_vector_matmul(const Matmul& op, const PackedWeight& weight, const HostFrame& frame);
  void pack_activations(const MatrixView<float>& x, const ProductKernel& kernel, std::int64_t k_padded);
  /// How a product with so many rows is made.
  [[nodiscard]] MatmulPlan plan_matmul(const Matmul& op, const PackedWeight& weight, std::int64_t n_rows) const;
  /// Bytes of a tile, or of one pass of it, as the plan's kernel reads it.
  [[nodiscard]] static std::int64_t multiplied_tile_bytes(const MatmulPlan& plan, const PackedWeight& weight);
  /// Of a thread's scratch: bytes of unpacked tiles, and floats of sums that wait for the next pass.
  [[nodiscard]] static std::size_t panel_bytes(const MatmulPlan& plan, const PackedWeight& weight);
  [[nodiscard]] static std::size_t pass_sums(const MatmulPlan& plan, std::int64_t n_rows);
  [[nodiscard]] RowBlock row_block(const MatmulPlan& plan, const PackedWeight& weight, std::int64_t n_rows,
                                   int block) const;
  /// A panel of tiles with some blocks of rows, from sums to finished outputs.
  void multiply_panel(const Matmul& op, const MatmulPlan& plan, const HostFrame& frame, std::int64_t first_tile,
                      std::int64_t n_tiles, RowBlocks blocks, int thread);
  /// The same, some columns after the other.
  void multiply_in_passes(const Matmul& op, const MatmulPlan& plan, const HostFrame& frame, std::int64_t first_tile,
                          std::int64_t n_tiles, RowBlocks blocks, int thread);
  /// The tiles as the plan's kernel wants them: where they are, or in `panel`.
  static Tiles unpack_tiles(const MatmulPlan& plan, const Tiles& tiles, std::int64_t n_tiles, std::int64_t n_columns,
                            std::span<std::byte> panel);
  /// Asks for the lines that finish_block() will write.
  static void ask_for_outputs(const Matmul& op, const PackedWeight& weight, const HostFrame& frame,
                              std::int64_t first_tile, std::int64_t n_tiles, const RowBlock& block);
  void finish_block(const Matmul& op, const PackedWeight& weight, const HostFrame& frame, const TileSums& sums,
                    const RowBlock& block);

  /// Remembers which weight each product's is followed by, the last one's by the first, as the next step has it.
  void order_weights(const StepGraph& graph);
  /// The tiles of the weight that comes after this one; empty where none is known.
  [[nodiscard]] NextStream stream_after(WeightId weight) const;

  Result<void> update_rotations(const RopeAppend& op, const HostFrame& frame);

  Result<void> check_pages(const Attention& op, const HostFrame& frame) const;
  void plan_attention(const Attention& op, const HostFrame& frame);
  void attend_item(const Attention& op, const HostFrame& frame, const AttentionItem& item, int thread);
  [[nodiscard]] RowPlace place_of(const Attention& op, const HostFrame& frame, const AttentionItem& item,
                                  std::int64_t row) const;
  void pack_query(const Attention& op, const HostFrame& frame, const AttentionItem& item, const AttendKernel& kernel,
                  const AttentionBuffers& buffers);
  void attend_blocks(const Attention& op, const HostFrame& frame, const AttentionItem& item, const AttendKernel& kernel,
                     const AttentionBuffers& buffers);
  void join_parts(const Attention& op, const HostFrame& frame, const AttentionJoin& join);

  const KernelTable& table_;
  ThreadPool& pool_;
  const PackedWeights& weights_;
  std::vector<KvPool>& kv_pools_;
  MemoryAccount& account_;
  Scratch scratch_;
  std::map<std::int32_t, HostBuffer> routers_;  ///< by index of the weight
  std::vector<std::int32_t> chosen_;
  std::vector<ExpertGroup> groups_;
  std::vector<ChosenBlock> chosen_blocks_;
  std::vector<std::int32_t> next_weight_;  ///< by index of a weight; -1: not known
  std::vector<AttentionItem> items_;
  std::vector<AttentionJoin> joins_;
  // The angles in scratch_.rotations() belong to these positions and this rope.
  std::vector<std::int32_t> rotated_positions_;
  RopeSpec rotated_rope_;
};

}  // namespace secondsource::cpu
