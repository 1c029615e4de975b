// One tile of a matrix product, computed by a workgroup of 256 threads:
//
//   sums[m, n] = sum_k x[m, k] * weight[n, k],   m in the tile's rows of x, n in its rows of the weight
//
// Shapes       tile: kTileRows x kTileCols, which are 16 x 64, 64 x 64 or 128 x 128
// Dtypes       x: BF16 or int8; weight: any encoding; both are widened to f32. Scales of groups of columns are multiplied into the weight,
//              except in the two cases below.
// Accumulator  f32. With int8 x and int8 with a scale per row, sums of at most 1024 columns, which are exact in f32, are added in int32.
//              With int8 x and an int8 weight with scales of 32 columns, and with an FP8 weight with scales of 128 columns, the columns
//              of a K step share their scales: the sum of each step is scaled and added in f32. Scales of rows are not applied.
// Source       tiles in shared memory and in registers as in Volkov and Demmel, "Benchmarking GPUs to Tune Dense Linear Algebra", 2008
//
// K is walked in steps. Both operands of a step lie in shared memory as [column of the step][line of the tile], so that a thread reads the
// lines that it multiplies side by side. A thread has up to four neighbouring lines of each operand, and of large tiles four more, 64 lines
// further. The threads store eight columns of a line at a time. Where neighbouring threads store the parts of one line, their columns
// are a multiple of the number of memory banks apart, so each part is rotated by some lines (rotation_of).

layout(constant_id = 2) const int kTileRows = 64;
layout(constant_id = 3) const int kTileCols = 64;

const int kTileThreads = 256;
const int kStepCols = 2048 / kTileCols;  ///< columns of K of a step: 32, with large tiles 16
const int kStepParts = kStepCols / 8;
const int kThreadRows = kTileRows / 16;  ///< lines of x of a thread: 1, 4 or 8
const int kThreadCols = kTileCols / 16;  ///< lines of the weight: 4 or 8
const int kMostThreadRows = 8;
const int kMostThreadCols = 8;
const int kMostTileRows = 128;
const int kMostTileCols = 128;
const int kExactCols = 1024;  ///< of products below 2^14, whose sum is exact in f32

const bool kIsExact = kX == kXInt8 && kEncoding == kEncodingInt8;
const bool kScalesInt8Steps = kX == kXInt8 && kEncoding == kEncodingInt8Group;
const bool kScalesSteps = kEncoding == kEncodingFp8Group || kScalesInt8Steps;

/// The step's columns of x and of the weight, f32; then the results that threads finish.
shared uint tile_memory[4096];
const int kWeightPlace = 2048;
/// Row of x of each line of the tile; -1: none. The including kernel stores them before compute_tile().
shared int tile_x_rows[kMostTileRows];
shared float step_x_scales[kMostTileRows];
shared float step_weight_scales[kMostTileCols];

float sums[kMostThreadRows][kMostThreadCols];         // of the columns since the last add_up()
float scaled_sums[kMostThreadRows][kMostThreadCols];  // with kScalesSteps: of the columns before
int exact_sums[kMostThreadRows][kMostThreadCols];     // with kIsExact: the same

/// Line r of this thread, of the tile's kTileRows.
int thread_row(int r) {
  const int n_neighbours = min(kThreadRows, 4);
  return r / n_neighbours * 64 + int(gl_LocalInvocationID.x) / 16 * n_neighbours + r % n_neighbours;
}

/// Column c of this thread, of the tile's kTileCols. With an even c, columns c and c + 1 are neighbours: a gate and its value.
int thread_col(int c) { return c / 4 * 64 + int(gl_LocalInvocationID.x) % 16 * 4 + c % 4; }

/// By how many lines part `part` of a step is rotated.
int rotation_of(int part) { return part * (32 / kStepParts); }

/// Stores the step's columns of one line, which are zeros if the line has no row.
void store_part(int place, int n_lines, int line, int part, float values[8]) {
  const int rotated = (line + rotation_of(part)) & (n_lines - 1);
  [[unroll]] for (int i = 0; i < 8; ++i) {
    tile_memory[place + (part * 8 + i) * n_lines + rotated] = floatBitsToUint(values[i]);
  }
}

/// Stores the columns [col, col + kStepCols) of the tile's rows of x.
void store_input_step(Weight w, uint64_t x, uint64_t x_scales, int col) {
  const int thread = int(gl_LocalInvocationID.x);
  if (thread < kTileRows * kStepParts) {
    const int line = thread / kStepParts;
    const int part = thread % kStepParts;
    const int row = tile_x_rows[line];
    float values[8];
    [[unroll]] for (int i = 0; i < 8; ++i) values[i] = 0.0;
    if (row >= 0) input_eight(x, w, row, col + part * 8, values);
    store_part(0, kTileRows, line, part, values);
  }
  if (kScalesSteps && thread < kTileRows) {
    const int row = tile_x_rows[thread];
    float scale = 0.0;
    if (row >= 0) scale = input_group_scale(x_scales, w, row, col);
    step_x_scales[thread] = scale;
  }
}

/// Stores the same columns of the rows [first_row, end_row) of the weight, as far as the tile has them.
void store_weight_step(Weight w, int first_row, int end_row, int col) {
  const int thread = int(gl_LocalInvocationID.x);
  const int line = thread / kStepParts;  // kTileCols * kStepParts is kTileThreads
  const int part = thread % kStepParts;
  float values[8];
  [[unroll]] for (int i = 0; i < 8; ++i) values[i] = 0.0;
  if (first_row + line < end_row) {
    if (kScalesSteps) {
      float scale;
      float minimum;
      weight_parts(w, first_row + line, col + part * 8, values, scale, minimum);
    } else {
      weight_eight_without_row_scale(w, first_row + line, col + part * 8, values);
    }
  }
  store_part(kWeightPlace, kTileCols, line, part, values);
  if (kScalesSteps && thread < kTileCols) {
    float scale = 0.0;
    if (first_row + thread < end_row) scale = group_scale(w, first_row + thread, col);
    step_weight_scales[thread] = scale;
  }
}

/// Adds the products of the step in shared memory to `sums`.
void multiply_step() {
  const int row_neighbours = min(kThreadRows, 4);
  for (int part = 0; part < kStepParts; ++part) {
    [[unroll]] for (int i = 0; i < 8; ++i) {
      const int x_begin = (part * 8 + i) * kTileRows;
      const int weight_begin = kWeightPlace + (part * 8 + i) * kTileCols;
      float of_x[kMostThreadRows];
      float of_weight[kMostThreadCols];
      // The first of neighbouring lines is a multiple of their number, and so is the rotation: they stay neighbours.
      [[unroll]] for (int r = 0; r < kThreadRows; ++r) {
        const int first = (thread_row(r / row_neighbours * row_neighbours) + rotation_of(part)) & (kTileRows - 1);
        of_x[r] = uintBitsToFloat(tile_memory[x_begin + first + r % row_neighbours]);
      }
      [[unroll]] for (int c = 0; c < kThreadCols; ++c) {
        const int first = (thread_col(c / 4 * 4) + rotation_of(part)) & (kTileCols - 1);
        of_weight[c] = uintBitsToFloat(tile_memory[weight_begin + first + c % 4]);
      }
      [[unroll]] for (int r = 0; r < kThreadRows; ++r) {
        [[unroll]] for (int c = 0; c < kThreadCols; ++c) sums[r][c] += of_x[r] * of_weight[c];
      }
    }
  }
}

/// Adds `sums` to scaled_sums or exact_sums, and begins the next ones.
void add_up() {
  [[unroll]] for (int r = 0; r < kThreadRows; ++r) {
    [[unroll]] for (int c = 0; c < kThreadCols; ++c) {
      if (kIsExact) exact_sums[r][c] += int(sums[r][c]);
      if (kScalesSteps) {
        scaled_sums[r][c] += step_weight_scales[thread_col(c)] * (step_x_scales[thread_row(r)] * sums[r][c]);
      }
      sums[r][c] = 0.0;
    }
  }
}

/// Multiplies the tile's rows of x, tile_x_rows, with the rows [first_row, end_row) of the weight, as far as the tile has them, over the
/// columns [begin_col, end_col), which are multiples of 32 up to padded_cols. Every thread of the workgroup calls it.
void compute_tile(Weight w, int first_row, int end_row, uint64_t x, uint64_t x_scales, int begin_col, int end_col) {
  [[unroll]] for (int r = 0; r < kThreadRows; ++r) {
    [[unroll]] for (int c = 0; c < kThreadCols; ++c) {
      sums[r][c] = 0.0;
      scaled_sums[r][c] = 0.0;
      exact_sums[r][c] = 0;
    }
  }
  for (int col = begin_col; col < end_col; col += kStepCols) {
    barrier();  // tile_x_rows are stored, and the step before is multiplied
    store_input_step(w, x, x_scales, col);
    store_weight_step(w, first_row, end_row, col);
    barrier();  // this step is stored
    multiply_step();
    if (kScalesSteps || (kIsExact && ((col + kStepCols) % kExactCols == 0 || col + kStepCols >= end_col))) add_up();
  }
  barrier();  // the last step is multiplied
}

// A thread's results go through its own place in shared memory, one line of the tile at a time, so that a loop over its columns can finish
// them. From registers such a loop would have to be unrolled, with the instructions of the epilogue repeated for each column.

/// Stores the results of this thread's line r. `r` is the variable of an unrolled loop.
void stage_row(int r) {
  [[unroll]] for (int c = 0; c < kThreadCols; ++c) {
    const float sum = kScalesSteps ? scaled_sums[r][c] : sums[r][c];
    tile_memory[c * kTileThreads + int(gl_LocalInvocationID.x)] = kIsExact ? uint(exact_sums[r][c]) : floatBitsToUint(sum);
  }
}

/// The sum of the staged line and this thread's column c: int32 with kIsExact, else the bits of f32.
uint staged_bits(int c) { return tile_memory[c * kTileThreads + int(gl_LocalInvocationID.x)]; }

float staged_sum(int c) {
  const uint bits = staged_bits(c);
  return kIsExact ? float(int(bits)) : uintBitsToFloat(bits);
}
