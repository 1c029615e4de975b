// Matrix product for many rows of x by warpgroups, whose steps along K are divided equally among the blocks.
//
//   out[m, n] = epilogue(sum_k x[m, k] * weight[n, k])
//
// Shapes       x: [rows, padded K]; weight: [N, padded K]; out: [rows, N], or [rows, N/2] for gated epilogues;
//              partial: [n_blocks, kStreamKParts, 128, 256]; n_arrived: [tiles]
// Dtypes       x and weight: BF16, or both int8; out: f32
// Accumulator  f32, or int32
// Aliasing     aux may be out
// Alignment    rows of x and of the weight to 16 bytes
// Source       Stream-K (Osama, Merrill, Cecka, Garland, Owens, 2023, arXiv:2301.03598); the main loop is that of matmul_tile.h
//
// With a tile for each block, 448 tiles on 132 processors take as long as four tiles on each, where 3.4 would do, and a block that begins
// has nothing to multiply until its first step has arrived. Here there are as many blocks as processors, and each goes through a share
// of the steps of all tiles as one sequence: while it finishes one tile, the first steps of the next are on their way.
//
// A panel is the part of the weight that a tile multiplies, 256 rows of it. The steps of all panels, one after the other, are divided
// equally among groups of blocks. A group has a block for each 128 rows of x, which read the same steps of the weight at the same time,
// so that the weight comes from memory once. Where a share ends within a panel, the tile is summed in parts by neighbouring groups: the
// last of their blocks to have its part adds those that the others have stored to it, in the order of K, and finishes the tile. No block
// waits for another. A share has at least plan.split_steps steps, since each part of a tile is stored and read as 128 KiB of sums. Into how
// many parts a tile falls depends on the number of tiles of rows, and with it the order in which a row's sums are added.

#include "gpu/kernels/launchers.h"
#include "gpu/kernels/pass_sums.h"
#include "gpu/portable/last_block.h"
#include "gpu/portable/launch.h"
#include "gpu/portable/launch_order.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {
namespace {

using Shape = ShapeOf<MatmulTiles::kStreamK128x256>;

/// How the steps of all panels, numbered one panel after the other, are divided among groups of blocks.
struct Division {
  int n_rows;  ///< of x
  int n_row_tiles;
  int n_steps;   ///< of a panel
  int n_total;   ///< of all panels
  int n_groups;  ///< at most n_total, so that every group has a step
};

struct Shared {
  TileStage<Shape> stage[Shape::kStages];
  PassSums<Shape> sums;
  int flag;           ///< of is_last_block()
  Division division;  ///< in shared memory, since the sums of a tile and the epilogue take all registers
};
static_assert(sizeof(Shared) <= kWarpgroupSharedBytes && is_sound<Shape>());

/// One block's part of the product: the share of a group for kRows rows of x.
template <bool kQuantized>
class ShareOfProduct {
  using Input = std::conditional_t<kQuantized, std::int8_t, Bf16>;
  using Sum = std::conditional_t<kQuantized, std::int32_t, float>;
  using Values = Columns<Sum, kMostColumns>;
  static constexpr WeightEncoding kEncoding = kQuantized ? WeightEncoding::kInt8PerRow : WeightEncoding::kBf16;
  static constexpr int kColTiles = Shape::kWarpCols / kTile;
  using Sums = Accumulator<Input>[1][kColTiles];
  /// The groups whose shares have steps of a panel.
  struct Groups {
    int first;
    int last;
    int place_of_first;  ///< of its part, among the kStreamKParts places of a block; the other groups use place 0
  };

 public:
  /// There is at least one row.
  SS_DEVICE explicit ShareOfProduct(const MatmulArguments& a) : a_(a) {}

  SS_DEVICE void multiply() {
    const Division division = divide_steps();
    group_ = block_x() / division.n_row_tiles;
    row_tile_ = block_x() - group_ * division.n_row_tiles;
    if (group_ >= division.n_groups) return;  // blocks that belong to no group
    if (thread_x() == 0) shared_memory<Shared>().division = division;
    sync_block();  // the division is stored
    auto& shared = shared_memory<Shared>();
    const WeightView x{.values = kQuantized ? reinterpret_cast<const std::byte*>(a_.quantized_x)
                                            : reinterpret_cast<const std::byte*>(a_.narrow_x),
                       .row_bytes = std::int64_t{a_.weight.padded_cols} * static_cast<int>(sizeof(Input)),
                       .padded_cols = a_.weight.padded_cols};
    const ContiguousRows x_rows{row_tile_ * Shape::kRows, division.n_rows};
    XLoader<Shape, kQuantized> x_loader;
    TileLoader<Shape, Shape::kCols, kEncoding, kQuantized> weight_loader;
    static_assert(!kHasWarpgroups || (x_loader.kAsync && weight_loader.kAsync));

    const int n_steps = division.n_steps;
    const int begin = begin_of(group_);
    const int n_own = begin_of(group_ + 1) - begin;
    int panel = begin / n_steps;
    int step = begin - panel * n_steps;
    int next_panel = panel;  // of the step that is copied next
    int next_step = step;
    const auto fetch = [&](int own_step) {
      auto& stage = shared.stage[own_step % Shape::kStages];
      weight_loader.fetch(a_.weight, ContiguousRows{next_panel * Shape::kCols, a_.weight.n_rows}, next_step,
                          stage.weight);
      x_loader.fetch(x, x_rows, next_step, stage.x);
      if (++next_step == n_steps) {
        next_step = 0;
        ++next_panel;
      }
    };
    constexpr int kAhead = Shape::kStagesAhead;
    for (int own_step = 0; own_step < kAhead; ++own_step) {
      if (own_step < n_own) fetch(own_step);
      commit_copies();
    }
    for (int own_step = 0; own_step < n_own;) {
      const int n_left = n_own - own_step;
      const int end_in_panel = step + n_left < n_steps ? step + n_left : n_steps;
      Sums sums = {};
      for (const int end = own_step + end_in_panel - step; own_step < end; ++own_step) {
        wait_for_copies<kAhead - 1>();
        fence_proxy_async();
        sync_block();  // this stage has arrived, and all reads of the stage that is filled next are done
        if (own_step + kAhead < n_own) fetch(own_step + kAhead);
        commit_copies();
        const auto& stage = shared.stage[own_step % Shape::kStages];
        begin_step<Shape>(stage.x, stage.weight, sums[0]);
        wait_for_products<1>(sums[0]);  // of the step before
      }
      wait_for_products<0>(sums[0]);
      const Groups groups = groups_of(panel);
      if (groups.first == groups.last || has_other_parts(panel, groups, sums)) finish_tile(panel, groups, sums);
      step = 0;
      ++panel;
    }
  }

 private:
  SS_DEVICE Division divide_steps() const {
    Division division;
    division.n_rows = *a_.n_rows;
    division.n_row_tiles = (division.n_rows + Shape::kRows - 1) / Shape::kRows;
    division.n_steps = steps_of<Shape, kQuantized>(a_.weight);
    division.n_total = (a_.weight.n_rows + Shape::kCols - 1) / Shape::kCols * division.n_steps;
    const int for_blocks = a_.plan.n_blocks / division.n_row_tiles;
    const int for_steps = division.n_total < a_.plan.split_steps ? 1 : division.n_total / a_.plan.split_steps;
    division.n_groups = for_blocks < for_steps ? for_blocks : for_steps;
    return division;
  }
  SS_DEVICE static const Division& division() { return shared_memory<Shared>().division; }
  /// This warp's place in shared memory for the sums of a pass.
  SS_DEVICE static std::int32_t* own_sums() { return shared_memory<Shared>().sums.of_warp[warp()]; }

  /// Finishes a tile whose other parts, if any, are stored.
  SS_DEVICE void finish_tile(int panel, const Groups& groups, const Sums& own) const {
    const auto take = [&](int pass) {
      store_pass<Shape>(own, pass, own_sums());
      if (groups.first == groups.last) return;
      sync_warp();  // this block's part is stored
      add_parts(panel, pass, groups);
    };
    finish_passes<Shape, kQuantized>(a_, own_sums(), row_tile_ * Shape::kRows, division().n_rows, panel * Shape::kCols,
                                     take);
  }

  /// Whether this block finishes the tile: all other parts are stored. A block that is not the only one left stores its own part first.
  SS_DEVICE bool has_other_parts(int panel, const Groups& groups, const Sums& own) const {
    const int n_parts = groups.last - groups.first + 1;
    std::uint32_t* const n_arrived = a_.n_arrived + panel * division().n_row_tiles + row_tile_;
    int& flag = shared_memory<Shared>().flag;
    if (is_only_block_left(n_arrived, n_parts, flag)) return true;
    store_part(panel, groups, own);
    return is_last_block(n_arrived, n_parts, flag);
  }

  SS_DEVICE void store_part(int panel, const Groups& groups, const Sums& sums) const {
    std::int32_t* const part = part_of(group_, groups);
    for_each_pass<Shape, Sum>(
        own_sums(), panel * Shape::kCols, a_.weight.n_rows,
        [&](int pass) { store_pass<Shape>(sums, pass, own_sums()); },
        [&](const auto& pass_sums) {
          pass_sums.template finish_columns<kMostColumns>(
              [&](int col) {
                return PlainSums<std::int32_t, kMostColumns>{part + col - panel * Shape::kCols, 4U * Shape::kCols};
              },
              [&](int line) { return ResultRow{.index = line, .of_x = line, .exists = line_exists(line)}; });
        });
  }

  /// Adds the parts that the blocks of the other groups have stored to this block's part, one pass of which is in this warp's place in
  /// shared memory. Every lane writes the sums that it has read itself, of a few lines at a time, since registers still hold this part's
  /// later passes.
  SS_DEVICE void add_parts(int panel, int pass, const Groups& groups) const {
    constexpr int kLanes = kPassCols / kMostColumns;  // that share a line
    constexpr int kLines = kWarpSize / kLanes;        // of the warp at once
    constexpr int kAtOnce = 2;
    static_assert(Shape::kWarpRows % (kLines * kAtOnce) == 0);
    const int pass_col = lane() % kLanes * kMostColumns;
    const int col = pass * kPassCols + pass_col;
    if (panel * Shape::kCols + col >= a_.weight.n_rows) return;
    for (int first_line = lane() / kLanes; first_line < Shape::kWarpRows; first_line += kLines * kAtOnce) {
      Values totals[kAtOnce] = {};
      for (int group = groups.first; group <= groups.last; ++group) {
        const std::int32_t* const part = part_of(group, groups) + col;
        Values values[kAtOnce];
        SS_UNROLL
        for (int i = 0; i < kAtOnce; ++i) {
          const int line = first_line + i * kLines;
          const int tile_line = warp() * Shape::kWarpRows + line;
          values[i] = {};
          if (group == group_) {
            values[i] = load_words<Values>(own_sums() + sum_index<PassShape<Shape>>(line, pass_col));
          } else if (line_exists(tile_line)) {
            values[i] = load_words<Values>(part + tile_line * Shape::kCols);
          }
        }
        SS_UNROLL
        for (int i = 0; i < kAtOnce; ++i) {
          SS_UNROLL
          for (int j = 0; j < kMostColumns; ++j) totals[i].value[j] += values[i].value[j];
        }
      }
      SS_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        store_chunk(own_sums() + sum_index<PassShape<Shape>>(first_line + i * kLines, pass_col),
                    bits_as<Chunk>(totals[i]));
      }
    }
  }

  /// Where the block of `group` for these rows of x stores its part of the panel that `groups` share.
  [[nodiscard]] SS_DEVICE std::int32_t* part_of(int group, const Groups& groups) const {
    const int place = group == groups.first ? groups.place_of_first : 0;
    const int block = group * division().n_row_tiles + row_tile_;
    return a_.partial + (std::int64_t{block} * kStreamKParts + place) * (Shape::kRows * Shape::kCols);
  }

  /// The first step of a group's share; the steps of all panels are numbered one panel after the other.
  [[nodiscard]] SS_DEVICE int begin_of(int group) const {
    return static_cast<int>(std::int64_t{group} * division().n_total / division().n_groups);
  }
  /// The group whose share contains a step.
  [[nodiscard]] SS_DEVICE int group_of(int step) const {
    return static_cast<int>(((std::int64_t{step} + 1) * division().n_groups - 1) / division().n_total);
  }
  /// If the first group's share begins before the panel, its part of the panel is at the end of the share, so that its place is 1.
  [[nodiscard]] SS_DEVICE Groups groups_of(int panel) const {
    const int begin = panel * division().n_steps;
    const int first = group_of(begin);
    return {.first = first,
            .last = group_of(begin + division().n_steps - 1),
            .place_of_first = begin_of(first) < begin ? 1 : 0};
  }
  [[nodiscard]] SS_DEVICE bool line_exists(int line) const {
    return row_tile_ * Shape::kRows + line < division().n_rows;
  }

  const MatmulArguments& a_;
  int group_ = 0;
  int row_tile_ = 0;
};

template <bool kQuantized>
SS_KERNEL_RESIDENT(Shape::kWarps, 1)
stream_k_matmul_kernel(MatmulArguments a) {
  wait_for_earlier_kernels();
  // The kernel is empty on targets without wgmma, where the host never launches it.
  if constexpr (kHasWarpgroups) {
    if (*a.n_rows > 0) ShareOfProduct<kQuantized>(a).multiply();
  }
}

}  // namespace

#if defined(SS_GPU_CUDA) || defined(SS_GPU_WARPGROUPS)
Result<void> launch_stream_k_matmul(const LaunchContext& context, const MatmulArguments& arguments) {
  return launch(context.stream, "stream_k_matmul",
                arguments.quantized_x != nullptr ? stream_k_matmul_kernel<true> : stream_k_matmul_kernel<false>,
                {.grid = {static_cast<std::uint32_t>(arguments.plan.n_blocks)},
                 .threads = static_cast<std::uint32_t>(Shape::kWarps * context.warp_size),
                 .shared_bytes = sizeof(Shared)},
                arguments);
}
#else
Result<void> launch_stream_k_matmul(const LaunchContext&, const MatmulArguments&) {
  return Error{ErrorCode::kInternal, "products of warpgroups on a target that has none"};
}
#endif

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
