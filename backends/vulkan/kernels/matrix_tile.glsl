// One tile of a matrix product, as matmul_tile.glsl has it, by cooperative matrices (VK_KHR_cooperative_matrix). The including kernel is
// compiled with MATRICES_F16, for FP16 operands, or with MATRICES_INT8.
//
//   sums[m, n] = sum_k x[m, k] * weight[n, k],   m in the tile's rows of x, n in its rows of the weight
//
// Shapes       tile: kTileRows x kTileCols, which are 16 x 64, 64 x 64 or 128 x 128; one instruction multiplies [kMatrixRows,
//              kMatrixDepth] with [kMatrixDepth, kMatrixCols]: sides of 8 or 16, a depth of 8, 16 or 32
// Dtypes       MATRICES_F16: x FP16 with a power of two for each row, or E4M3 or NVFP4 numbers as BF16, which are exact in FP16; weight:
//              any encoding, without the scale of its row, divided by the power of two of its row where the encoding has no such scale,
//              rounded to FP16; where steps are scaled, its codes alone. MATRICES_INT8: x int8; weight int8 with a scale for each row or
//              for each 32 columns
// Accumulator  f32, or int32, in registers for all of K. With an int8 weight with scales of 32 columns, and where x and an FP8 weight both
//              have scales of 128 columns, the columns of a K step share their scales: the sum of each step is scaled and added in f32.
//              Scales of rows are not applied.
// Source       tiles in shared memory as in NVIDIA's CUTLASS, "Efficient GEMM in CUDA"
//
// K is walked in steps of 32 columns, which lie in shared memory as they lie in memory: lines of K. A line is padded by 16 bytes, so that
// the lines of a matrix begin in different memory banks. Each subgroup multiplies a rectangle of the tile's matrices. A small tile has
// fewer rectangles than subgroups; the other subgroups only load. Single elements of a matrix in registers cannot be accessed, so that the
// scales of steps are matrices, too, with the scale of a line in all elements of a row or of a column.

#ifdef MATRICES_F16
#define OPERAND float16_t
#define FOUR_OPERANDS f16vec4
#define SUM float
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

// As in matmul_tile.glsl; FP8 with scales of 128 columns has them in its values where x has none.
const bool kScalesInput = kEncoding == kEncodingFp8Group && kX == kXBf16Groups;
const bool kScalesInt8Steps = kEncoding == kEncodingInt8Group && kX == kXInt8;
const bool kScalesSteps = kScalesInput || kScalesInt8Steps;
const int kMostMatrixSide = 16;

const int kMatricesDown = kTileRows / kMatrixRows;
const int kMatricesAcross = kTileCols / kMatrixCols;
// The subgroups form a rectangle, and each has a rectangle of the tile's matrices.
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
/// Results: int32 sums, or the bits of f32. Before, with kScalesSteps: the scales of the step's lines of the weight, kSlabRows times.
shared uint slab[kSlabRows * kTileCols];
/// With kScalesInput: the scales of the step's lines of x, each kMostMatrixSide times.
shared float step_x_scales[kX == kXBf16Groups ? kTileRows * kMostMatrixSide : 4];
/// Row of x of each line of the tile; -1: none. The including kernel stores them before compute_tile().
shared int tile_x_rows[kTileRows];

#define SUMS(type) coopmat<type, gl_ScopeSubgroup, kMatrixRows, kMatrixCols, gl_MatrixUseAccumulator>
SUMS(SUM) sums[kOwnDown * kOwnAcross];           // with kScalesSteps: of a step
SUMS(float) scaled_sums[kOwnDown * kOwnAcross];  // with kScalesSteps: of the steps before

/// Row of this thread in slab r, of the tile's kTileRows.
int thread_row(int r) { return r * kSlabRows + int(gl_LocalInvocationID.x) / 16; }

/// Column c of this thread, of the tile's kTileCols. With an even c, columns c and c + 1 are neighbours: a gate and its value.
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
  if (kScalesSteps) {
    float scale;
    float minimum;
    weight_parts(w, row, first_col, values, scale, minimum);
  } else {
    weight_eight_without_row_scale(w, row, first_col, values);
    if (kHasRowPowers) {
      const float factor = inverse_of_power(F32(w.row_scales).at[row]);
      [[unroll]] for (int i = 0; i < 8; ++i) values[i] *= factor;
    }
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

/// Stores the columns [col, col + kStepCols) of the tile's rows of x, and their scales, with zeros where there is no row.
void store_input_step(Weight w, uint64_t x, uint64_t x_scales, int col) {
  for (int i = int(gl_LocalInvocationID.x); i < kTileRows * kStepParts; i += kTileThreads) {
    const int line = i / kStepParts;
    const int part = i % kStepParts;
    const int row = tile_x_rows[line];
    FOUR_OPERANDS operands[2] = FOUR_OPERANDS[2](FOUR_OPERANDS(0), FOUR_OPERANDS(0));
    if (row >= 0) read_input(x, w, row, col + part * 8, operands);
    step_x[line * kLineVecs + part * 2] = operands[0];
    step_x[line * kLineVecs + part * 2 + 1] = operands[1];
  }
  const int scaled_line = int(gl_LocalInvocationID.x);
  if (kScalesInput && scaled_line < kTileRows) {
    const int row = tile_x_rows[scaled_line];
    float scale = 0.0;
    if (row >= 0) scale = input_group_scale(x_scales, w, row, col);
    for (int i = 0; i < kMostMatrixSide; ++i) step_x_scales[scaled_line * kMostMatrixSide + i] = scale;
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
  const int scaled_line = int(gl_LocalInvocationID.x);
  if (kScalesSteps && scaled_line < kTileCols) {
    float scale = 0.0;
    if (first_row + scaled_line < end_row) scale = group_scale(w, first_row + scaled_line, col);
    for (int i = 0; i < kSlabRows; ++i) slab[i * kTileCols + scaled_line] = floatBitsToUint(scale);
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

/// Adds `sums` to scaled_sums, and begins the next ones.
void add_up() {
  SUMS(float) x_scales[kOwnDown];
  if (kScalesInput) {
    [[unroll]] for (int i = 0; i < kOwnDown; ++i) {
      coopMatLoad(x_scales[i], step_x_scales, (first_matrix_down() + i) * kMatrixRows * kMostMatrixSide, kMostMatrixSide,
                  gl_CooperativeMatrixLayoutRowMajor);
    }
  }
  [[unroll]] for (int j = 0; j < kOwnAcross; ++j) {
    SUMS(float) weight_scales;
    coopMatLoad(weight_scales, slab, (first_matrix_across() + j) * kMatrixCols, kTileCols,
                gl_CooperativeMatrixLayoutRowMajor);
    [[unroll]] for (int i = 0; i < kOwnDown; ++i) {
      const int at = i * kOwnAcross + j;
      SUMS(float) scaled = SUMS(float)(sums[at]);
      if (kScalesInput) scaled = scaled * x_scales[i];
      scaled_sums[at] = scaled_sums[at] + scaled * weight_scales;
      sums[at] = SUMS(SUM)(0);
    }
  }
}

/// Multiplies the tile's rows of x, tile_x_rows, with the rows [first_row, end_row) of the weight, as far as the tile has them, over the
/// columns [begin_col, end_col), which are multiples of 32 up to padded_cols. Every thread of the workgroup calls it.
void compute_tile(Weight w, int first_row, int end_row, uint64_t x, uint64_t x_scales, int begin_col, int end_col) {
  [[unroll]] for (int i = 0; i < kOwnDown * kOwnAcross; ++i) {
    sums[i] = SUMS(SUM)(0);
    scaled_sums[i] = SUMS(float)(0);
  }
  for (int col = begin_col; col < end_col; col += kStepCols) {
    barrier();  // tile_x_rows are stored, and the step before is multiplied
    store_input_step(w, x, x_scales, col);
    store_weight_step(w, first_row, end_row, col);
    barrier();  // this step is stored
    if (has_matrices()) {
      multiply_step();
      if (kScalesSteps) add_up();
    }
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
          const int place = first_row % kSlabRows * kTileCols + first_col;
          if (kScalesSteps) {
            coopMatStore(scaled_sums[i * kOwnAcross + j], slab, place, kTileCols, gl_CooperativeMatrixLayoutRowMajor);
          } else {
            coopMatStore(sums[i * kOwnAcross + j], slab, place, kTileCols, gl_CooperativeMatrixLayoutRowMajor);
          }
        }
      }
    }
  }
  barrier();  // this slab is stored
}

/// The sum of the staged slab's row and column c of this thread: int32 with MATRICES_INT8 unless steps are scaled, else the bits of f32.
uint staged_bits(int c) { return slab[int(gl_LocalInvocationID.x) / 16 * kTileCols + thread_col(c)]; }

float staged_sum(int c) {
  const uint bits = staged_bits(c);
#ifdef MATRICES_INT8
  return kScalesSteps ? uintBitsToFloat(bits) : float(int(bits));
#else
  return uintBitsToFloat(bits);
#endif
}
