// Matrix product for many rows of x by warpgroups, whose operands the tensor memory accelerator copies for two blocks at once.
//
//   out[m, n] = epilogue(sum_k x[m, k] * weight[n, k])
//
// Shapes       x: [rows, padded K]; weight: [N, padded K]; out: [rows, N], or [rows, N/2] for gated epilogues
// Dtypes       x and weight: BF16, or both int8; out: f32
// Accumulator  f32, or int32
// Aliasing     aux may be out
// Alignment    x and weight, and their rows, to 16 bytes
// Source       the warp-specialized persistent kernels of CUTLASS 3 for sm90 (TMA, mbarrier, multicast)
//
// A block of 128 x 256 outputs takes in 48 KiB for each step of 128 bytes along K. Where threads request the copies, a processor of an H100
// took in no more than 59 bytes/ns (docs/gpu-results.md). At that rate the tiles reach two thirds of the peak of its tensor cores. Here two
// blocks form a cluster. Both multiply the same rows of the weight with different rows of x. Each block requests its own rows of x, and one
// half of the weight's rows for both blocks. So for each step a block takes 32 KiB from the second-level cache in place of 48 (with tiles
// of 128 x 128: 24 in place of 32). No thread that multiplies spends instructions on copies. If the step was compiled for at most one tile
// of rows of x, the blocks share x and have different rows of the weight. In a batch with fewer rows than the step was compiled for, blocks
// may have tiles outside of the product, whose results are never stored.
//
// Two of a block's three warpgroups multiply 64 rows each. One thread of the third requests copies, as far ahead as there are stages. A
// stage is filled when its bytes have arrived (ClusterShared::filled), and may be filled again when all warps of both blocks have used it
// (ClusterShared::emptied): both blocks, since the copies of a shared operand write to both. There are as many blocks as processors, and a
// block goes through several tiles: while it finishes one, the first steps of the next are on their way.

#include "gpu/kernels/launchers.h"
#include "gpu/kernels/pass_sums.h"
#include "gpu/portable/cluster.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"
#include "gpu/portable/residency.h"
#include "gpu/portable/tensor_copy.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

/// Registers of each thread of the warpgroup that copies, and of the warpgroups that multiply, where sums alone take up to 128. Together
/// they are all the registers that the block began with.
constexpr int kCopyRegisters = 24;
constexpr int kProductRegisters = 240;

template <typename Shape>
struct ClusterShared {
  TileStage<Shape> stage[Shape::kStages];
  PassSums<Shape> sums;
  ArrivalBarrier filled[Shape::kStages];  ///< a phase is complete when the stage's bytes have arrived
  /// A phase is complete when all warps of both blocks have multiplied the stage.
  ArrivalBarrier emptied[Shape::kStages];
};

/// The warps of a block. Those that multiply come first; the warpgroup that copies follows.
template <MatmulTiles kTiles>
struct BlockWarps {
  static constexpr int kProduct = ShapeOf<kTiles>::kWarps;
  static constexpr int kAll = kProduct + kWarpgroupWarps;
};

/// One block's part of the product.
template <MatmulTiles kTiles, bool kQuantized>
class ClusterProduct {
  using Shape = ShapeOf<kTiles>;
  using Shared = ClusterShared<Shape>;
  static_assert(sizeof(Shared) <= kWarpgroupSharedBytes && is_sound<Shape>());
  static_assert(!kHasWarpgroups || Shape::kWarps * kProductRegisters + kWarpgroupWarps * kCopyRegisters ==
                                       BlockWarps<kTiles>::kAll * registers_at_launch(BlockWarps<kTiles>::kAll));
  using Input = std::conditional_t<kQuantized, std::int8_t, Bf16>;
  static constexpr int kColTiles = Shape::kWarpCols / kTile;
  static constexpr int kStepValues = Shape::kStepBytes / static_cast<int>(sizeof(Input));
  static constexpr std::uint16_t kBothBlocks = (1U << kClusterBlocks) - 1;
  using Sums = Accumulator<Input>[1][kColTiles];

  /// A place in the ring of stages.
  struct RingPlace {
    int stage = 0;
    int parity = 0;  ///< of the phase of ClusterShared::filled in which this stage is filled

    SS_DEVICE void advance() {
      if (++stage < Shape::kStages) return;
      stage = 0;
      parity ^= 1;
    }
  };

 public:
  SS_DEVICE explicit ClusterProduct(const ClusterMatmulArguments& a)
      : a_(a),
        shares_weight_(a.max_rows > Shape::kRows),
        n_rows_(*a.n_rows),
        n_steps_(steps_of<Shape, kQuantized>(a.weight)) {
    const int n_row_tiles = (n_rows_ + Shape::kRows - 1) / Shape::kRows;
    const int n_panels = (a.weight.n_rows + Shape::kCols - 1) / Shape::kCols;
    // Both blocks of a cluster go through the same pairs of tiles.
    n_row_pairs_ = shares_weight_ ? (n_row_tiles + kClusterBlocks - 1) / kClusterBlocks : n_row_tiles;
    n_pairs_ = n_row_pairs_ * (shares_weight_ ? n_panels : (n_panels + kClusterBlocks - 1) / kClusterBlocks);
  }

  SS_DEVICE static void init_barriers() {
    auto& shared = shared_memory<Shared>();
    for (int stage = 0; stage < Shape::kStages; ++stage) {
      init_arrivals(shared.filled[stage], 1);
      init_arrivals(shared.emptied[stage], kClusterBlocks * Shape::kWarps);
    }
    show_barriers_to_cluster();
  }

  SS_DEVICE void prefetch_maps() const {
    prefetch_map(a_.x_map);
    prefetch_map(a_.weight_map);
  }

  /// Requests the copies of all steps of this block's tiles. One thread calls it.
  SS_DEVICE void copy_steps() const {
    auto& shared = shared_memory<Shared>();
    RingPlace place;
    for_each_tile([&](int first_row, int first_col) {
      for (int step = 0; step < n_steps_; ++step) {
        auto& stage = shared.stage[place.stage];
        ArrivalBarrier& filled = shared.filled[place.stage];
        // This returns at once while the stage was never filled.
        wait_for_phase(shared.emptied[place.stage], place.parity ^ 1);
        arrive_expecting(filled, sizeof(stage));
        const int col = step * kStepValues;
        copy_parts(stage.x, a_.x_map, col, first_row, kClusterXRows, !shares_weight_, filled);
        copy_parts(stage.weight, a_.weight_map, col, first_col, Shape::kCols / kClusterBlocks, shares_weight_, filled);
        place.advance();
      }
    });
  }

  /// Multiplies all steps of this block's tiles and finishes these. All warps of the warpgroups that multiply call it.
  SS_DEVICE void multiply_steps() const {
    auto& shared = shared_memory<Shared>();
    std::int32_t* const own_sums = shared.sums.of_warp[warp()];
    RingPlace place;
    for_each_tile([&](int first_row, int first_col) {
      Sums sums = {};
      int last_stage = 0;
      for (int step = 0; step < n_steps_; ++step) {
        wait_for_phase(shared.filled[place.stage], place.parity);
        const auto& stage = shared.stage[place.stage];
        begin_step<Shape, kColTiles>(stage.x, stage.weight, sums[0]);
        wait_for_products<1>(sums[0]);  // of the step before
        if (step > 0) give_back(last_stage);
        last_stage = place.stage;
        place.advance();
      }
      wait_for_products<0>(sums[0]);
      give_back(last_stage);
      finish_passes<Shape, kQuantized>(a_, own_sums, first_row, n_rows_, first_col,
                                       [&](int pass) { store_pass<Shape>(sums, pass, own_sums); });
    });
  }

 private:
  /// Calls use(first row of x, first row of the weight) for this block's tiles in turn. They may lie outside of the product, so that both
  /// blocks of a cluster have the same number of tiles.
  template <typename Use>
  SS_DEVICE void for_each_tile(const Use& use) const {
    const int own = block_of_cluster();
    const int n_clusters = a_.plan.n_blocks / kClusterBlocks;
    for (int pair = block_x() / kClusterBlocks; pair < n_pairs_; pair += n_clusters) {
      const int of_cols = pair / n_row_pairs_;
      const int of_rows = pair - of_cols * n_row_pairs_;
      const int row_tile = shares_weight_ ? of_rows * kClusterBlocks + own : of_rows;
      const int panel = shares_weight_ ? of_cols : of_cols * kClusterBlocks + own;
      use(row_tile * Shape::kRows, panel * Shape::kCols);
    }
  }

  /// Requests the copies of a stage's lines of one operand. If the blocks share the operand, this block requests its part for both
  /// blocks, and the other block requests the other part. If not, this block requests all parts for itself.
  SS_DEVICE static void copy_parts(std::byte* to, const TensorMap& map, int col, int first_row, int part_rows,
                                   bool is_shared, ArrivalBarrier& filled) {
    const int own = block_of_cluster();
    SS_UNROLL
    for (int part = 0; part < kClusterBlocks; ++part) {
      std::byte* const to_part = to + part * part_rows * Shape::kLineBytes;
      const int row = first_row + part * part_rows;
      if (!is_shared) {
        copy_tile(to_part, map, col, row, filled);
      } else if (part == own) {
        copy_tile_to_blocks(to_part, map, col, row, filled, kBothBlocks);
      }
    }
  }

  /// Tells both blocks that this warp has multiplied what is in a stage.
  SS_DEVICE static void give_back(int stage) {
    if (lane() < kClusterBlocks) arrive_at(shared_memory<Shared>().emptied[stage], lane());
  }

  const ClusterMatmulArguments& a_;
  bool shares_weight_;
  int n_rows_;
  int n_steps_;
  int n_row_pairs_;
  int n_pairs_;
};

template <MatmulTiles kTiles, bool kQuantized>
SS_KERNEL_RESIDENT(BlockWarps<kTiles>::kAll, 1)
cluster_matmul_kernel(SS_TENSOR_ARGUMENT ClusterMatmulArguments a) {
  wait_for_earlier_kernels();
  // On targets without wgmma the kernel is empty, and the host never launches it.
  if constexpr (kHasWarpgroups) {
    constexpr int kProductWarps = BlockWarps<kTiles>::kProduct;
    const ClusterProduct<kTiles, kQuantized> product(a);
    if (thread_x() == 0) product.init_barriers();
    if (thread_x() == kProductWarps * kWarpSize) product.prefetch_maps();
    sync_warp();
    sync_cluster();  // the barriers of both blocks are initialized
    if (warp() < kProductWarps) {
      take_registers_up_to<kProductRegisters>();
      product.multiply_steps();
    } else {
      give_up_registers_but<kCopyRegisters>();
      if (thread_x() == kProductWarps * kWarpSize) product.copy_steps();
      sync_warp();
    }
    sync_cluster();  // no block accesses the other's shared memory any more
  }
}

#if defined(SS_GPU_CUDA) || defined(SS_GPU_WARPGROUPS)
template <MatmulTiles kTiles>
Result<void> launch_for(const LaunchContext& context, const ClusterMatmulArguments& arguments) {
  using Shape = ShapeOf<kTiles>;
  return launch(
      context.stream, "cluster_matmul",
      arguments.quantized_x != nullptr ? cluster_matmul_kernel<kTiles, true> : cluster_matmul_kernel<kTiles, false>,
      {.grid = {static_cast<std::uint32_t>(arguments.plan.n_blocks)},
       .threads = static_cast<std::uint32_t>(BlockWarps<kTiles>::kAll * context.warp_size),
       .shared_bytes = sizeof(ClusterShared<Shape>),
       .cluster_blocks = kClusterBlocks},
      arguments);
}
#endif

}  // namespace

#if defined(SS_GPU_CUDA) || defined(SS_GPU_WARPGROUPS)
Result<void> launch_cluster_matmul(const LaunchContext& context, const ClusterMatmulArguments& arguments) {
  return arguments.plan.tiles == MatmulTiles::kCluster128x128
             ? launch_for<MatmulTiles::kCluster128x128>(context, arguments)
             : launch_for<MatmulTiles::kCluster128x256>(context, arguments);
}
#else
Result<void> launch_cluster_matmul(const LaunchContext&, const ClusterMatmulArguments&) {
  return Error{ErrorCode::kInternal, "clusters of blocks on a target that has none"};
}
#endif

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
