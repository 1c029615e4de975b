#version 460
// Rounds activations to E4M3 with a scale for every 128 columns: gpu/kernels/rows.cpp's narrow_rows, by the rule of op.h's ActQuant.
//
//   out[r, c] = e4m3(x[r, c] / s) as BF16,  scales[r, c / 128] = s = max|x| / 448 over the group
//   kNarrowTo = kNarrowToE4m3GroupsE8m0: s is rounded up to a power of two, 2^-126 at least
//
// Shapes       x: [rows, n_cols] with x_stride values from one row to the next; out: [rows, padded_cols], zeros past n_cols;
//              scales: [rows, ceil(n_cols / 128)]
// Types        x, scales: f32; out: BF16, rows of 16-byte vectors
//
// A workgroup takes a row. 16 threads have a group, eight values each, and find its largest value in shared memory.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
layout(constant_id = 0) const int kNarrowTo = kNarrowToE4m3Groups;
PARAMETERS(NarrowParameters)
#include "narrow.glsl"

const int kGroupCols = 128;
const int kGroupThreads = kGroupCols / kVecValues;

/// The smallest power of two that is not below `value` and is no subnormal number; 0, infinity and NaN stay what they are.
float power_not_below(float value) {
  const uint bits = floatBitsToUint(value);
  if (bits >= kInfinityBits) return value;
  return uintBitsToFloat((bits + 0x007fffffu) & 0x7f800000u);  // carries unless the fraction is 0
}

void main() {
  const int row = row_of_workgroup();
  if (row >= I32(p.n_tokens).at[0] * p.rows_per_token) return;
  const int thread = int(gl_LocalInvocationID.x);
  const int n_cols = p.n_cols;
  const int padded_cols = p.padded_cols;
  const int n_groups = (n_cols + kGroupCols - 1) / kGroupCols;
  const uint64_t x = p.x + uint64_t(row) * uint64_t(p.x_stride) * 4;
  const uint64_t narrowed = p.result + uint64_t(row) * uint64_t(padded_cols) * 2;
  const uint64_t scales = p.scales + uint64_t(row) * uint64_t(n_groups) * 4;
  for (int first = 0; first < padded_cols; first += int(gl_WorkGroupSize.x) * kVecValues) {  // every thread takes part in the barriers
    const int col = first + thread * kVecValues;
    float values[kVecValues];
    load_values(x, col, n_cols, values);
    uint largest = 0u;
    [[unroll]] for (int i = 0; i < kVecValues; ++i) largest = max(largest, magnitude_of(values[i]));
    barrier();  // the magnitudes of earlier columns have been read
    magnitude_scratch[thread] = largest;
    barrier();
    const int first_thread = thread / kGroupThreads * kGroupThreads;
    for (int i = 0; i < kGroupThreads; ++i) largest = max(largest, magnitude_scratch[first_thread + i]);
    float scale = quotient(uintBitsToFloat(largest), 448.0);
    if (kNarrowTo == kNarrowToE4m3GroupsE8m0) scale = power_not_below(scale);
    if (thread == first_thread && col < n_cols) F32(scales).at[col / kGroupCols] = scale;
    const bool usable = is_usable_scale(scale);
    if (col >= padded_cols) continue;
    [[unroll]] for (int i = 0; i < kVecValues; ++i) values[i] = usable ? nearest_e4m3(quotient(values[i], scale)) : 0.0;
    store_bf16(narrowed, col, values);
  }
}
