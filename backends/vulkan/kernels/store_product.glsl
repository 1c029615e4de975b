// Stores the results of a product with MatmulParameters: bias, epilogue (epilogue.glsl) and soft cap of one whole sum, as
// gpu/kernels/epilogue.h's store_product() and store_gated().
//
// Aliasing: aux may be the result; one thread reads and writes an element.

/// The bias of an output; 0 where the epilogue has none.
float product_bias(int output_row) {
  const bool has_bias = p.epilogue != kEpilogueNone && p.epilogue != kEpilogueAddResidual && p.bias != 0;
  return has_bias ? F32(p.bias).at[output_row] : 0.0;
}

/// Stores element [row, output_row] of a product that is not gated. `sum` has every scale.
void store_product(int n_outputs, int row, int output_row, float sum) {
  const uint64_t at = (uint64_t(row) * uint64_t(n_outputs) + uint64_t(output_row)) * 4;
  sum += product_bias(output_row);
  if (p.epilogue == kEpilogueGelu) sum = gelu(sum);
  if (p.epilogue == kEpilogueAddResidual) sum += F32(p.aux + at).at[0];
  F32(p.result + at).at[0] = soft_cap(sum, p.softcap);
}

/// Stores element [row, pair] of a gated product. Gate and up are neighbouring rows of the weight, but not of the bias, which has those of
/// all gates first.
void store_gated(int n_outputs, int row, int pair, float gate, float up) {
  const int n_pairs = n_outputs / 2;
  const uint64_t at = (uint64_t(row) * uint64_t(n_pairs) + uint64_t(pair)) * 4;
  const float result = gated(p.epilogue, gate + product_bias(pair), up + product_bias(n_pairs + pair));
  F32(p.result + at).at[0] = soft_cap(result, p.softcap);
}
