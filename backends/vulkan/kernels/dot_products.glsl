// Dot products of kOutputs neighbouring rows of a weight with kRows rows of x by a workgroup whose kThreads threads share the columns:
// what matvec.comp and grouped_matvec.comp have in common. x is read once for all rows of the weight, and the weight once for all rows
// of x.
//
// Accumulator  f32 per thread, then over subgroups and over the workgroup in a fixed order. With int8 x and an int8 weight with a scale
//              per row, a thread's sum is exact in f32: a product is below 2^14, and a thread has at most 1024 of 131072 columns, the
//              most for which int32 is wide enough. The threads' sums are added in int32. With scales of groups the sum of each eight
//              columns is scaled and added in f32.
//
// The including kernel declares kRows, at most kMostRows.

const int kOutputs = 4;
const int kMostRows = 4;
const int kThreads = 128;
const int kMostSubgroups = kThreads / kLeastSubgroup;

const bool kIsExact = kX == kXInt8 && kEncoding == kEncodingInt8;

shared uint subgroup_sums[kMostSubgroups][kOutputs * kMostRows];  // int32, or the bits of f32
shared float subgroup_squares[kMostSubgroups][kMostRows];

float sums[kOutputs][kMostRows];
float squares[kMostRows];

/// Computes this thread's share of the sums of weight_rows[o] with x_rows[m], without the scales of rows. With a norm weight, x is
/// multiplied by it, and the thread's squares of x are summed as well.
void sum_columns(Weight w, int weight_rows[kOutputs], uint64_t x, uint64_t x_scales, int x_rows[kMostRows], uint64_t norm_weight) {
  [[unroll]] for (int m = 0; m < kRows; ++m) {
    squares[m] = 0.0;
    [[unroll]] for (int o = 0; o < kOutputs; ++o) sums[o][m] = 0.0;
  }
  for (int col = int(gl_LocalInvocationID.x) * 8; col < w.n_cols; col += kThreads * 8) {
    float values[kMostRows][8];
    float value_sums[kMostRows];
    float x_scale[kMostRows];
    [[unroll]] for (int m = 0; m < kRows; ++m) {
      float eight[8];
      input_eight(x, w, x_rows[m], col, eight);
      if (kX == kXF32 && norm_weight != 0) {
        float norm[8];
        f32_eight(norm_weight, true, col, w.n_cols, norm);
        [[unroll]] for (int i = 0; i < 8; ++i) {
          squares[m] += eight[i] * eight[i];
          eight[i] *= norm[i];
        }
      }
      value_sums[m] = 0.0;
      [[unroll]] for (int i = 0; i < 8; ++i) {
        values[m][i] = eight[i];
        value_sums[m] += eight[i];
      }
      x_scale[m] = input_group_scale(x_scales, w, x_rows[m], col);
    }
    [[unroll]] for (int o = 0; o < kOutputs; ++o) {
      float codes[8];
      float scale;
      float minimum;
      weight_parts(w, weight_rows[o], col, codes, scale, minimum);
      [[unroll]] for (int m = 0; m < kRows; ++m) {
        float sum = 0.0;
        [[unroll]] for (int i = 0; i < 8; ++i) sum += codes[i] * values[m][i];
        if (kX == kXBf16Groups) sum *= x_scale[m];
        if (kHasGroupScales) sum *= scale;
        if (kHasMinima) sum -= minimum * value_sums[m];
        sums[o][m] += sum;
      }
    }
  }
}

/// Stores the sums of the subgroups. Every thread of the workgroup calls it after sum_columns(), and a barrier follows before whole_sum().
void store_subgroup_sums() {
  [[unroll]] for (int o = 0; o < kOutputs; ++o) {
    [[unroll]] for (int m = 0; m < kRows; ++m) {
      const uint sum = kIsExact ? uint(subgroupAdd(int(sums[o][m]))) : floatBitsToUint(subgroupAdd(sums[o][m]));
      if (subgroupElect()) subgroup_sums[gl_SubgroupID][o * kMostRows + m] = sum;
    }
  }
}

void store_subgroup_squares() {
  [[unroll]] for (int m = 0; m < kRows; ++m) {
    const float sum = subgroupAdd(squares[m]);
    if (subgroupElect()) subgroup_squares[gl_SubgroupID][m] = sum;
  }
}

/// The sum of row `o` of the weight with row `m` of x, over all columns.
float whole_sum(int o, int m) {
  const int at = o * kMostRows + m;
  if (kIsExact) {
    int sum = 0;
    for (uint s = 0; s < gl_NumSubgroups; ++s) sum += int(subgroup_sums[s][at]);
    return float(sum);
  }
  float sum = 0.0;
  for (uint s = 0; s < gl_NumSubgroups; ++s) sum += uintBitsToFloat(subgroup_sums[s][at]);
  return sum;
}

/// The sum of the squares of row `m` of x.
float whole_squares(int m) {
  float sum = 0.0;
  for (uint s = 0; s < gl_NumSubgroups; ++s) sum += subgroup_squares[s][m];
  return sum;
}
