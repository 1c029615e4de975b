#pragma once
// The families of cases. Each function makes one case; all its random choices follow from the seed.

#include <cstdint>
#include <string_view>
#include <vector>

#include "conformance/case.h"

namespace secondsource::conformance {

struct Family {
  std::string_view name;
  Case (*make)(std::uint64_t seed);
  std::int32_t n_cases;  ///< number of cases in one run of the suite
};

Case make_embed_case(std::uint64_t seed);
Case make_rms_norm_case(std::uint64_t seed);
Case make_matmul_case(std::uint64_t seed);
Case make_long_matmul_case(std::uint64_t seed);
Case make_tall_matmul_case(std::uint64_t seed);
Case make_tall_quantized_matmul_case(std::uint64_t seed);
Case make_quantized_matmul_case(std::uint64_t seed);
Case make_quantized_group_matmul_case(std::uint64_t seed);
Case make_quantized_int4_matmul_case(std::uint64_t seed);
Case make_fp8_matmul_case(std::uint64_t seed);
Case make_int4_zero_matmul_case(std::uint64_t seed);
Case make_fp8_group_matmul_case(std::uint64_t seed);
Case make_rope_append_case(std::uint64_t seed);
Case make_attention_case(std::uint64_t seed);
Case make_wide_attention_case(std::uint64_t seed);
Case make_long_attention_case(std::uint64_t seed);
Case make_chunked_attention_case(std::uint64_t seed);
Case make_deep_attention_case(std::uint64_t seed);
Case make_gated_bias_case(std::uint64_t seed);
Case make_partial_rope_case(std::uint64_t seed);
Case make_query_growth_case(std::uint64_t seed);
Case make_shared_expert_case(std::uint64_t seed);
Case make_residual_norm_case(std::uint64_t seed);
Case make_all_heads_norm_case(std::uint64_t seed);
Case make_heads_layer_norm_case(std::uint64_t seed);
Case make_values_apart_case(std::uint64_t seed);
Case make_attention_values_apart_case(std::uint64_t seed);
Case make_sinks_case(std::uint64_t seed);
Case make_biased_route_case(std::uint64_t seed);
Case make_biased_mixture_case(std::uint64_t seed);
Case make_layer_norm_case(std::uint64_t seed);
/// A norm of inputs whose mean square may be as small as its epsilon, and the matmul after it. A backend may fuse the two.
Case make_norm_product_case(std::uint64_t seed);
Case make_gelu_case(std::uint64_t seed);
Case make_latent_append_case(std::uint64_t seed);
Case make_latent_growth_case(std::uint64_t seed);
Case make_latent_attention_case(std::uint64_t seed);
Case make_wide_latent_attention_case(std::uint64_t seed);
Case make_latent_copy_case(std::uint64_t seed);
Case make_head_matmul_case(std::uint64_t seed);
Case make_grouped_route_case(std::uint64_t seed);
Case make_select_columns_case(std::uint64_t seed);
/// Columns selected separately for each of a token's experts, and both matmuls of the experts that read them.
Case make_expert_columns_case(std::uint64_t seed);
Case make_sample_case(std::uint64_t seed);
Case make_wide_sample_case(std::uint64_t seed);
Case make_route_case(std::uint64_t seed);
Case make_wide_route_case(std::uint64_t seed);
Case make_mixture_case(std::uint64_t seed);
Case make_wide_mixture_case(std::uint64_t seed);
/// Few tokens with up to 9 experts each, and weights of any encoding with long rows.
Case make_few_rows_mixture_case(std::uint64_t seed);
Case make_quantized_mixture_case(std::uint64_t seed);
Case make_quantized_group_mixture_case(std::uint64_t seed);
Case make_quantized_int4_mixture_case(std::uint64_t seed);
Case make_fp8_mixture_case(std::uint64_t seed);
Case make_int4_zero_mixture_case(std::uint64_t seed);
Case make_mxfp4_matmul_case(std::uint64_t seed);
Case make_nvfp4_matmul_case(std::uint64_t seed);
Case make_q4_k_matmul_case(std::uint64_t seed);
Case make_q5_k_matmul_case(std::uint64_t seed);
Case make_q5_k_mixture_case(std::uint64_t seed);
Case make_q6_k_matmul_case(std::uint64_t seed);
/// Weights in the encodings in blocks of GGUF that have no family of their own.
Case make_gguf_matmul_case(std::uint64_t seed);
Case make_gguf_mixture_case(std::uint64_t seed);
Case make_q4_k_mixture_case(std::uint64_t seed);
Case make_q6_k_mixture_case(std::uint64_t seed);
Case make_mxfp4_mixture_case(std::uint64_t seed);
Case make_nvfp4_mixture_case(std::uint64_t seed);
Case make_fp8_group_mixture_case(std::uint64_t seed);
Case make_window_case(std::uint64_t seed);
Case make_layer_case(std::uint64_t seed);
Case make_model_case(std::uint64_t seed);
Case make_page_copy_case(std::uint64_t seed);
Case make_in_flight_case(std::uint64_t seed);
Case make_not_finite_case(std::uint64_t seed);
Case make_not_finite_route_case(std::uint64_t seed);
Case make_not_finite_int8_static_case(std::uint64_t seed);
Case make_not_finite_fp8_case(std::uint64_t seed);
Case make_not_finite_nvfp4_case(std::uint64_t seed);
Case make_not_finite_fp8_group_case(std::uint64_t seed);
/// Long contexts that begin with keys of NaN.
Case make_not_finite_context_case(std::uint64_t seed);

/// All families. New ones are appended at the end, so that the seeds of existing cases do not change.
[[nodiscard]] std::span<const Family> families();

}  // namespace secondsource::conformance
