// Reads the rows of x of a product, eight columns at a time, and says what they are: the specialization constant 1.
//
// Shapes     f32: [rows, n_cols]; BF16, FP16 and int8: [rows, padded_cols of the weight], with zeros past n_cols
// Alignment  rows of BF16 and int8 to 16 bytes; f32 is read 16 bytes at a time where the including kernel says that rows begin there
//
// Every value is exact in f32, int8 numbers as well. The including kernel must include weight.glsl before this file.

layout(constant_id = 1) const int kX = kXF32;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer InputWords { uvec2 at[]; };

/// Eight values of a row of f32 that has n_cols columns, zeros past the last one. `is_aligned`: the row begins at a multiple of 16 bytes.
void f32_eight(uint64_t row_begin, bool is_aligned, int first_col, int n_cols, out float values[8]) {
  if (is_aligned && first_col + 8 <= n_cols) {
    const vec4 first = F32x4(row_begin).at[first_col / 4];
    const vec4 second = F32x4(row_begin).at[first_col / 4 + 1];
    [[unroll]] for (int i = 0; i < 4; ++i) {
      values[i] = first[i];
      values[4 + i] = second[i];
    }
    return;
  }
  [[unroll]] for (int i = 0; i < 8; ++i) {
    values[i] = 0.0;
    if (first_col + i < n_cols) values[i] = F32(row_begin).at[first_col + i];
  }
}

/// The columns [first_col, first_col + 8) of row `row` of x, without its scales. first_col is a multiple of 8 below padded_cols.
void input_eight(uint64_t x, Weight w, int row, int first_col, out float values[8]) {
  if (kX == kXF32) {
    f32_eight(x + uint64_t(row) * uint64_t(w.n_cols) * 4, w.n_cols % 4 == 0, first_col, w.n_cols, values);
  } else if (kX == kXInt8) {
    const uvec2 words = InputWords(x + uint64_t(row) * uint64_t(w.padded_cols)).at[first_col / 8] ^ 0x80808080u;  // values + 128
    [[unroll]] for (int i = 0; i < 8; ++i) {  // 2^23 + value + 128 - (2^23 + 128)
      values[i] = uintBitsToFloat(0x4b000000u | (words[i / 4] >> (i % 4 * 8) & 0xffu)) - 8388736.0;
    }
  } else {
    const uvec4 words = U32x4(x + uint64_t(row) * uint64_t(w.padded_cols) * 2).at[first_col / 8];
    [[unroll]] for (int i = 0; i < 4; ++i) {
      values[2 * i] = uintBitsToFloat(words[i] << 16);
      values[2 * i + 1] = uintBitsToFloat(words[i] & 0xffff0000u);
    }
  }
}

/// The scale of the group of 128 columns of x that `col` lies in; 1 where x has no such scales. `x_scales`: [rows, groups].
float input_group_scale(uint64_t x_scales, Weight w, int row, int col) {
  if (kX != kXBf16Groups) return 1.0;
  const int n_groups = (w.n_cols + 127) / 128;
  return F32(x_scales + uint64_t(row) * uint64_t(n_groups) * 4).at[col / 128];
}

/// A sum times the scale of its row of x and that of its row of the weight, or their powers of two. The scales of groups are in the sum
/// already. Powers are multiplied one by one, since their product alone may be too small for f32.
float scaled_sum(uint64_t x_scales, Weight w, int x_row, int weight_row, float sum) {
  if (kX == kXF16Scaled) return F32(x_scales).at[x_row] * sum * F32(w.row_scales).at[weight_row];
  const float scale = row_scale(w, weight_row);
  if (kX == kXInt8 || kX == kXBf16Scaled) return F32(x_scales).at[x_row] * scale * sum;
  return scale * sum;
}
