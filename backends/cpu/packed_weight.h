#pragma once
// Weights in the one layout that all kernels read (kernels/kernel_table.h). Rows are cut into tiles of 16. Inside a tile:
//
//   f32   [k][16]                  f16  [k][16]
//   bf16  [k / 2][16][2]           int8 [k / 4][16][4], scales f32 [rows], row sums i32 [rows]
//   fp8   [k / 4][16][4] in E4M3, scales f32 [rows]
//   int8-g32 [k / 32][8][16][4], after each group of 32 columns its 16 FP16 scales
//   int4  [k / 32][4 x 8 columns x 16 rows of nibbles, 16 FP16 scales]
//   int4-zp  [k / 32][as int4, then 16 zero points in int8]
//   mxfp4 [k / 32][nibbles as in int4, 16 scales in E8M0]
//   nvfp4 [k / 64][2 x nibbles as in int4, for each row a lane of its 4 scales in E4M3], global scales f32 [rows]
//   q4_k  [k / 256][8 groups of 32 columns, each: nibbles as in int4, 16 scales and 16 minima in int8], and after the groups the 16
//         FP16 numbers d and the 16 dmin by which the scales and the minima of a row are multiplied
//   q5_k  as q4_k; after the nibbles of a group comes the fifth bit of its 32 columns x 16 rows
//   q6_k  [k / 256][8 groups, each: nibbles, two bits of 2 x 16 columns x 16 rows, 2 x 16 scales in int8], then 16 FP16 numbers d
//   iq4_xs  [k / 256][8 groups, each: nibbles, 16 scales in int8], then 16 FP16 numbers d
//   q2_k, q3_k  [k / 256][4 quads of 4 parts of 16 columns, each: two bits of each code; in q3_k the third bits; a byte for each part
//         and row with its scale and in q2_k its minimum], then 16 FP16 numbers d and in q2_k 16 dmin
//   q4_1, q5_0, q5_1, iq4_nl  [k / 32][nibbles, in q5_0 and q5_1 fifth bits, 16 FP16 scales, in q4_1 and q5_1 16 FP16 minima]
//   fp8-g128 [k / 128][32][16][4], after each group of 128 columns its 16 f32 scales
//
// Columns are padded with zeros to whole vecs or groups, rows to whole tiles. Gate and up of a gated layer alternate tile
// by tile, so that one thread has both halves of its outputs. Each expert of a mixture begins a new tile. A weight of one
// row (a norm, a bias) is a plain f32 vector.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend_kit/weight_cache.h"
#include "cpu/kernels/kernel_table.h"
#include "cpu/memory_nodes.h"
#include "cpu/thread_pool.h"
#include "cpu/weight_arena.h"

namespace secondsource::cpu {

struct PackedWeight {
  WeightSpec spec;  ///< without its sources
  bool is_vector = false;
  std::span<const float> vector;  ///< is_vector: the decoded row
  const std::byte* tiles = nullptr;
  std::int64_t tile_bytes = 0;
  std::int64_t n_tiles = 0;
  std::int64_t k_padded = 0;
  std::span<const float> scales;           ///< where has_row_scale(): [16 * n_tiles], in tile order
  std::span<const std::int32_t> row_sums;  ///< int8: [16 * n_tiles]

  [[nodiscard]] bool is_interleaved() const { return spec.join == Join::kInterleaveGateUp; }
  /// Tiles per expert; a weight outside a mixture counts as one expert.
  [[nodiscard]] std::int64_t expert_tiles() const { return n_tiles / spec.n_experts; }
  /// Tiles that make one tile of outputs: 2 for gate and up, which are finished together.
  [[nodiscard]] std::int64_t tiles_per_column() const { return is_interleaved() ? 2 : 1; }
  /// The place of canonical row `row`: tile * 16 + lane.
  [[nodiscard]] std::int64_t packed_row(std::int64_t row) const;
};

/// The weights of one backend, by WeightId.
class PackedWeights {
 public:
  /// `cache` keeps packed weights whose values differ from the stored ones; empty: nothing is kept.
  PackedWeights(MemoryAccount& account, ThreadPool& pool, MemoryNodes& nodes, std::optional<WeightCache> cache)
      : arena_(account), pool_(pool), nodes_(nodes), cache_(std::move(cache)) {}

  Result<WeightId> prepare(const WeightSpec& spec);
  [[nodiscard]] bool has(WeightId id) const;
  [[nodiscard]] const PackedWeight& at(WeightId id) const;
  [[nodiscard]] std::span<const WeightSpec> specs() const { return specs_; }
  /// WeightArena::huge_bytes().
  [[nodiscard]] std::optional<std::int64_t> huge_bytes() const { return arena_.huge_bytes(); }

 private:
  Result<PackedWeight> pack_tiles(const WeightSpec& spec);
  Result<PackedWeight> pack_vector(const WeightSpec& spec);
  /// Fills the buffers from the cache. What the cache does not have is computed by `fill` and then stored in the cache.
  Result<void> fill_through_cache(const WeightSpec& spec, std::span<const std::span<std::byte>> buffers,
                                  const std::function<Result<void>()>& fill);
  /// Fills all tiles on all threads, one tile at a time. scales: null where rows have no scale of their own. row_sums: null unless int8.
  Result<void> fill_tiles(const WeightSpec& spec, const PackedWeight& weight, std::byte* tiles, float* scales,
                          std::int32_t* row_sums);

  WeightArena arena_;
  ThreadPool& pool_;
  MemoryNodes& nodes_;
  std::optional<WeightCache> cache_;
  std::vector<PackedWeight> weights_;
  std::vector<WeightSpec> specs_;
};

/// Decodes canonical row `row` to f32, with its scales. out: [n_cols].
void unpack_row(const PackedWeight& weight, std::int64_t row, std::span<float> out);

}  // namespace secondsource::cpu
