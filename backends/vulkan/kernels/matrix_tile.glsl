// One tile of a matrix product, as matmul_tile.glsl has it, by cooperative matrices (VK_KHR_cooperative_matrix). The including kernel is
// compiled with MATRICES_F16, for FP16 operands, or with MATRICES_INT8.
//
//   sums[m, n] = sum_k x[m, k] * weight[n, k],   m in the tile's rows of x, n in its rows of the weight
//
// Shapes       tile: kTileRows x kTileCols, which are 16 x 64, 64 x 64 or 128 x 128; one instruction multiplies [kMatrixRows,
//              kMatrixDepth] with [kMatrixDepth, kMatrixCols]: sides of 8 or 16, a depth of 8, 16 or 32
// Dtypes       MATRICES_F16: x FP16 with a power of two for each row, or E4M3 or NVFP4 numbers as BF16, which are exact in FP16; weight:
//              any encoding, without the scale of its row, divided by the power of two of its row where the encoding has no such scale,
//              rounded to FP16. MATRICES_INT8: x int8, weight int8 with a scale per row
// Accumulator  f32, or int32, in registers for all of K. Scales of rows are not applied.
// Source       tiles in shared memory as in NVIDIA's CUTLASS, "Efficient GEMM in CUDA"
//
// K is walked in steps of 32 columns, which lie in shared memory as they lie in memory: lines of K. A line is padded by 16 bytes, so that
// the lines of a matrix begin in different memory banks. Each subgroup multiplies a rectangle of the tile's matrices. A small tile has
// fewer rectangles than subgroups; the other subgroups only load.

#ifdef MATRICES_F16
#define OPERAND float16_t
#define FOUR_OPERANDS f16vec4
#define SUM float
// Conversions to FP16 round to nearest even (capability RoundingModeRTE, execution mode 4462), which GLSL alone does not promise.
spirv_execution_mode(capabilities = [4467], 4462, 16);
#else
#define OPERAND int8_t
#define FOUR_OPERANDS i8vec4
#define SUM int
#endif

layout(constant_id = 2) const int kTileRows = 64;
layout(constant_id = 3) const int kTileCols = 64;
layout(constant_id = 4) const int kMatrixRows = 16;
layout(constant_id = 5) const int kMatrixCols = 16;
layout(constant_id = 6) const int kMatrixDepth = 16;
layout(constant_id = 7) const int kSubgroups = 8;  ///< of the workgroup

const int kTileThreads = 256;
const int kStepCols = 32;  ///< columns of K of a step
const int kStepParts = kStepCols / 8;
#ifdef MATRICES_F16
const int kLineVecs = (kStepCols + 8) / 4;  ///< FOUR_OPERANDS of a line and its padding
#else
const int kLineVecs = (kStepCols + 16) / 4;
#endif

const int kMatricesDown = kTileRows / kMatrixRows;
const int kMatricesAcross = kTileCols / kMatrixCols;
// The subgroups stand in a rectangle, and each has a rectangle of the tile's matrices.
const int kWantedDown = kSubgroups >= 16 ? 4 : 2;
const int kSubgroupsDown = kMatricesDown < kWantedDown ? kMatricesDown : kWantedDown;
const int kLeftAcross = kSubgroups / kSubgroupsDown;
const int kSubgroupsAcross = kMatricesAcross < kLeftAcross ? kMatricesAcross : kLeftAcross;
const int kOwnDown = kMatricesDown / kSubgroupsDown;
const int kOwnAcross = kMatricesAcross / kSubgroupsAcross;

// Results are finished in slabs of 16 rows of the tile, for which they go through shared memory.
const int kSlabRows = 16;
const int kThreadRows = kTileRows / kSlabRows;  ///< slabs; of each, a thread has one row
const int kThreadCols = kTileCols / 16;         ///< of that row: 4 or 8

shared FOUR_OPERANDS step_x[kTileRows * kLineVecs];
shared FOUR_OPERANDS step_weight[kTileCols * kLineVecs];
shared SUM slab[kSlabRows * kTileCols];
/// Row of x of each line of the tile; -1: none. The including kernel stores them before compute_tile().
shared int tile_x_rows[kTileRows];

coopmat<SUM, gl_ScopeSubgroup, kMatrixRows, kMatrixCols, gl_MatrixUseAccumulator> sums[kOwnDown * kOwnAcross];

/// Row of this thread in slab r, of the tile's kTileRows.
int thread_row(int r) { return r * kSlabRows + int(gl_LocalInvocationID.x) / 16; }

/// Column c of this thread, of the tile's kTileCols. Those from c on, of a c that is even, are neighbours: a gate and its value.
int thread_col(int c) { return c / 4 * 64 + int(gl_LocalInvocationID.x) % 16 * 4 + c % 4; }

bool has_matrices() { return int(gl_SubgroupID) < kSubgroupsDown * kSubgroupsAcross; }
int first_matrix_down() { return int(gl_SubgroupID) / kSubgroupsAcross * kOwnDown; }
int first_matrix_across() { return int(gl_SubgroupID) % kSubgroupsAcross * kOwnAcross; }

#ifdef MATRICES_F16
/// The columns [first_col, first_col + 8) of a row of x.
void read_input(uint64_t x, Weight w, int row, int first_col, out FOUR_OPERANDS operands[2]) {
  if (kX == kXF16Scaled) {
    const uvec4 words = U32x4(x + uint64_t(row) * uint64_t(w.padded_cols) * 2).at[first_col / 8];
    operands[0] = f16vec4(unpackFloat2x16(words.x), unpackFloat2x16(words.y));
    operands[1] = f16vec4(unpackFloat2x16(words.z), unpackFloat2x16(words.w));
    return;
  }
  float values[8];
  input_eight(x, w, row, first_col, values);
  operands[0] = f16vec4(values[0], values[1], values[2], values[3]);
  operands[1] = f16vec4(values[4], values[5], values[6], values[7]);
}

/// The same columns of a row of the weight.
void read_weight(Weight w, int row, int first_col, out FOUR_OPERANDS operands[2]) {
  float values[8];
  weight_eight_without_row_scale(w, row, first_col, values);
  if (kHasRowPowers) {
    const float factor = inverse_of_power(F32(w.row_scales).at[row]);
    [[unroll]] for (int i = 0; i < 8; ++i) values[i] *= factor;
  }
  operands[0] = f16vec4(values[0], values[1], values[2], values[3]);
  operands[1] = f16vec4(values[4], values[5], values[6], values[7]);
}
#else
void read_input(uint64_t x, Weight w, int row, int first_col, out FOUR_OPERANDS operands[2]) {
  const uvec2 words = InputWords(x + uint64_t(row) * uint64_t(w.padded_cols)).at[first_col / 8];
  operands[0] = unpack8(int(words.x));
  operands[1] = unpack8(int(words.y));
}

void read_weight(Weight w, int row, int first_col, out FOUR_OPERANDS operands[2]) {
  const uvec2 words = WeightWords(weight_row(w, row)).at[first_col / 8];
  operands[0] = unpack8(int(words.x));
  operands[1] = unpack8(int(words.y));
}
#endif

/// Stores the columns [col, col + kStepCols) of the tile's rows of x, with zeros where there is no row.
void store_input_step(Weight w, uint64_t x, int col) {
  for (int i = int(gl_LocalInvocationID.x); i < kTileRows * kStepParts; i += kTileThreads) {
    const int line = i / kStepParts;
    const int part = i % kStepParts;
    const int row = tile_x_rows[line];
    FOUR_OPERANDS operands[2] = FOUR_OPERANDS[2](FOUR_OPERANDS(0), FOUR_OPERANDS(0));
    if (row >= 0) read_input(x, w, row, col + part * 8, operands);
    step_x[line * kLineVecs + part * 2] = operands[0];
    step_x[line * kLineVecs + part * 2 + 1] = operands[1];
  }
}

/// Stores the same columns of the rows [first_row, end_row) of the weight, as far as the tile has them.
void store_weight_step(Weight w, int first_row, int end_row, int col) {
  for (int i = int(gl_LocalInvocationID.x); i < kTileCols * kStepParts; i += kTileThreads) {
    const int line = i / kStepParts;
    const int part = i % kStepParts;
    FOUR_OPERANDS operands[2] = FOUR_OPERANDS[2](FOUR_OPERANDS(0), FOUR_OPERANDS(0));
    if (first_row + line < end_row) read_weight(w, first_row + line, col + part * 8, operands);
    step_weight[line * kLineVecs + part * 2] = operands[0];
    step_weight[line * kLineVecs + part * 2 + 1] = operands[1];
  }
}

/// Adds the products of the step in shared memory to `sums`.
void multiply_step() {
  [[unroll]] for (int k = 0; k < kStepCols / kMatrixDepth; ++k) {
    coopmat<OPERAND, gl_ScopeSubgroup, kMatrixRows, kMatrixDepth, gl_MatrixUseA> of_x[kOwnDown];
    [[unroll]] for (int i = 0; i < kOwnDown; ++i) {
      const int line = (first_matrix_down() + i) * kMatrixRows;
      coopMatLoad(of_x[i], step_x, line * kLineVecs + k * kMatrixDepth / 4, kLineVecs, gl_CooperativeMatrixLayoutRowMajor);
    }
    [[unroll]] for (int j = 0; j < kOwnAcross; ++j) {
      const int line = (first_matrix_across() + j) * kMatrixCols;
      coopmat<OPERAND, gl_ScopeSubgroup, kMatrixDepth, kMatrixCols, gl_MatrixUseB> of_weight;
      coopMatLoad(of_weight, step_weight, line * kLineVecs + k * kMatrixDepth / 4, kLineVecs,
                  gl_CooperativeMatrixLayoutColumnMajor);
      [[unroll]] for (int i = 0; i < kOwnDown; ++i) {
        sums[i * kOwnAcross + j] = coopMatMulAdd(of_x[i], of_weight, sums[i * kOwnAcross + j]);
      }
    }
  }
}

/// Multiplies the tile's rows of x, tile_x_rows, with the rows [first_row, end_row) of the weight, as far as the tile has them, over the
/// columns [begin_col, end_col), which are multiples of 32 up to padded_cols. Every thread of the workgroup calls it.
void compute_tile(Weight w, int first_row, int end_row, uint64_t x, uint64_t x_scales, int begin_col, int end_col) {
  [[unroll]] for (int i = 0; i < kOwnDown * kOwnAcross; ++i) {
    sums[i] = coopmat<SUM, gl_ScopeSubgroup, kMatrixRows, kMatrixCols, gl_MatrixUseAccumulator>(0);
  }
  for (int col = begin_col; col < end_col; col += kStepCols) {
    barrier();  // tile_x_rows are stored, and the step before is multiplied
    store_input_step(w, x, col);
    store_weight_step(w, first_row, end_row, col);
    barrier();  // this step is stored
    if (has_matrices()) multiply_step();
  }
}

/// Stores the results of slab r. `r` is the variable of an unrolled loop, and every thread of the workgroup calls it.
void stage_row(int r) {
  barrier();  // the slab before is read
  if (has_matrices()) {
    [[unroll]] for (int i = 0; i < kOwnDown; ++i) {
      const int first_row = (first_matrix_down() + i) * kMatrixRows;
      if (first_row / kSlabRows == r) {
        [[unroll]] for (int j = 0; j < kOwnAcross; ++j) {
          const int first_col = (first_matrix_across() + j) * kMatrixCols;
          coopMatStore(sums[i * kOwnAcross + j], slab, first_row % kSlabRows * kTileCols + first_col, kTileCols,
                       gl_CooperativeMatrixLayoutRowMajor);
        }
      }
    }
  }
  barrier();  // this slab is stored
}

/// The sum of the staged slab's row and column c of this thread.
float staged_sum(int c) { return float(slab[int(gl_LocalInvocationID.x) / 16 * kTileCols + thread_col(c)]); }

/// The same: int32 with MATRICES_INT8, else the bits of f32.
uint staged_bits(int c) {
  const SUM sum = slab[int(gl_LocalInvocationID.x) / 16 * kTileCols + thread_col(c)];
#ifdef MATRICES_F16
  return floatBitsToUint(sum);
#else
  return uint(sum);
#endif
}
