#version 460
// Groups the rows of a mixture's product by expert (kernels.h's ExpertRows). A row is a (token, slot) pair, numbered token * n_top + slot.
// Each expert's rows, in ascending order, begin a tile of their own, whose last one is filled up with -1.
//
// Shapes       expert: [T, n_top]; tile_rows: [max_tiles, kTileRows]; tile_experts: [max_tiles]; n_tiles: one number
// Dtypes       int32
// Constants    0 kTileRows
// Grid         x: experts, at most kMostExperts
// Source       gpu/kernels/grouped_tiles.cpp; grouping as in MegaBlocks (arXiv:2211.15841) and in vLLM's moe_align_block_size
//
// Each workgroup counts the rows of all experts to find where the tiles of its own begin, then lists the rows of its own.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
layout(constant_id = 0) const int kTileRows = 16;
PARAMETERS(GroupedMatmulParameters)

const int kGroupThreads = 256;
const int kMostExperts = 512;

shared int rows_of[kMostExperts];
shared int thread_sums[kGroupThreads];

int tiles_of(int expert) { return (rows_of[expert] + kTileRows - 1) / kTileRows; }

/// The sum of the values of this thread and of all before it. Every thread of the workgroup calls it.
int inclusive_sum(int value) {
  const int thread = int(gl_LocalInvocationID.x);
  barrier();  // an earlier result has been read by all
  thread_sums[thread] = value;
  barrier();
  for (int distance = 1; distance < kGroupThreads; distance *= 2) {
    int before = 0;
    if (thread >= distance) before = thread_sums[thread - distance];
    barrier();
    thread_sums[thread] += before;
    barrier();
  }
  return thread_sums[thread];
}

void main() {
  const int own = int(gl_WorkGroupID.x);
  const int thread = int(gl_LocalInvocationID.x);
  const int n_rows = I32(p.n_rows).at[0] * p.n_top;
  for (int expert = thread; expert < kMostExperts; expert += kGroupThreads) rows_of[expert] = 0;
  barrier();
  for (int row = thread; row < n_rows; row += kGroupThreads) atomicAdd(rows_of[I32(p.expert).at[row]], 1);
  barrier();  // every row is counted
  int n_before = 0;
  for (int expert = thread; expert < own; expert += kGroupThreads) n_before += tiles_of(expert);
  inclusive_sum(n_before);
  const int first_tile = thread_sums[kGroupThreads - 1];
  const int n_own_tiles = tiles_of(own);
  // Each thread takes one contiguous slice of the rows, so that the list keeps their order.
  const int n_slice = (n_rows + kGroupThreads - 1) / kGroupThreads;
  const int begin = thread * n_slice;
  const int end = min(begin + n_slice, n_rows);
  int n_mine = 0;
  for (int row = begin; row < end; ++row) n_mine += I32(p.expert).at[row] == own ? 1 : 0;
  int at = inclusive_sum(n_mine) - n_mine;
  const uint64_t list = p.tile_rows + uint64_t(first_tile) * uint64_t(kTileRows) * 4;
  for (int row = begin; row < end; ++row) {
    if (I32(p.expert).at[row] == own) {
      I32(list).at[at] = row;
      ++at;
    }
  }
  for (int line = rows_of[own] + thread; line < n_own_tiles * kTileRows; line += kGroupThreads) I32(list).at[line] = -1;
  for (int tile = thread; tile < n_own_tiles; tile += kGroupThreads) I32(p.tile_experts).at[first_tile + tile] = own;
  if (own == p.n_experts - 1 && thread == 0) I32(p.n_tiles).at[0] = first_tile + n_own_tiles;
}
