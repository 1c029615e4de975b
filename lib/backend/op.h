#pragma once
// The operations of a forward pass, as plain data. A model is a StepGraph of them, which a backend compiles once and
// runs many times. A new operation is a new struct here; no backend compiles until it handles it.
//
// Shapes: a value is a matrix [rows, cols], f32 unless its ValueDesc says otherwise; each Batch determines `rows`. T =
// tokens of the step, S = sequences, L = rows for which logits are computed.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/dtype.h"

namespace secondsource {

/// Index into StepGraph::values.
enum class ValueId : std::int32_t {};
/// Returned by Backend::prepare_weight.
enum class WeightId : std::int32_t {};
/// Index into StepGraph::ropes.
enum class RopeId : std::int32_t {};
/// Index into StepGraph::column_lists.
enum class ColumnListId : std::int32_t {};
/// Returned by Backend::create_kv_pool.
enum class KvPoolId : std::int32_t {};

[[nodiscard]] constexpr std::int32_t index_of(ValueId id) {
  return static_cast<std::int32_t>(id);
}
[[nodiscard]] constexpr std::int32_t index_of(WeightId id) {
  return static_cast<std::int32_t>(id);
}
[[nodiscard]] constexpr std::int32_t index_of(RopeId id) {
  return static_cast<std::int32_t>(id);
}
[[nodiscard]] constexpr std::int32_t index_of(ColumnListId id) {
  return static_cast<std::int32_t>(id);
}
[[nodiscard]] constexpr std::int32_t index_of(KvPoolId id) {
  return static_cast<std::int32_t>(id);
}

/// The count of the Batch that gives the number of rows of a value.
enum class Rows : std::uint8_t { kTokens, kSeqs, kLogits };

struct ValueDesc {
  DType dtype = DType::kF32;  ///< kF32, or kI32 for expert indices
  Rows rows = Rows::kTokens;
  std::int32_t cols = 0;
  bool observed = false;  ///< must be in memory after the step, so no fusion across it (tests, bisection)
};

/// The heads of an attention layer. n_heads is a multiple of n_kv_heads: query head h reads KV head h / (n_heads /
/// n_kv_heads).
struct HeadShape {
  std::int32_t n_heads = 0;
  std::int32_t n_kv_heads = 0;
  std::int32_t head_dim = 0;  ///< of queries and keys
  /// 0, except for multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1): its cache holds keys only,
  /// and the value of a position is the first latent_dim elements of its key.
  std::int32_t latent_dim = 0;
  [[nodiscard]] constexpr std::int32_t value_dim() const { return latent_dim > 0 ? latent_dim : head_dim; }
  friend bool operator==(const HeadShape&, const HeadShape&) = default;
};

/// Makes queries of later positions larger: after the rotation every element of a query head is multiplied by 1 + beta
/// * ln(1 + floor(position / period)). Keys are unchanged (Ministral 3; the rule is that of Llama 4).
struct QueryGrowth {
  float beta = 0.0F;
  std::int32_t period = 0;  ///< in positions; 0: all queries stay as they are
};

/// Rotary embedding, arXiv:2104.09864, in the half-rotation layout of Hugging Face: element i < head_dim/2 is paired
/// with element i + head_dim/2. The angle is position * inv_freq[i], with the product rounded to f32 as PyTorch rounds
/// it (0.001 radian at position 30000). Its cos and sin are multiplied by attention_factor (used by YaRN and LongRoPE,
/// otherwise 1). A pair whose frequency is 0 stays as it is, not multiplied by attention_factor either.
struct RopeSpec {
  std::vector<float> inv_freq;  ///< [head_dim / 2]; for LatentAppend [(head_dim - latent_dim) / 2]
  float attention_factor = 1.0F;
  QueryGrowth query_growth = {};
};

/// Whether activations are quantized before the matmul. The variant decides this, never the backend.
enum class ActQuant : std::uint8_t {
  kNone,
  kInt8PerRow,  ///< s = max|x| / 127, NaN if any x is NaN; q = clamp(round-half-even(x / s), +-127); s = 0 gives q = 0
  /// q = clamp(round-half-even(x / s), -128, 127), where s is Matmul::act_scale for all rows. A row in which any x is
  /// NaN or infinite becomes NaN. Used with WeightEncoding::kInt8PerRow.
  kInt8Static,
  kFp8PerRow,  ///< s = max|x| / 448, NaN if any x is NaN; q = x / s rounded to E4M3 (core/e4m3.h); s = 0 gives q = 0
  /// q = x / s rounded to E4M3, at most 448 in magnitude, where s is Matmul::act_scale for all rows. A row in which any
  /// x is NaN or infinite becomes NaN.
  kFp8Static,
  /// NVFP4: with g = Matmul::act_scale, each kNvfp4GroupSize consecutive columns have s = (max|x| / 6) / g rounded to
  /// E4M3, at most 448, and become (s * q) * g, where q = x / (s * g) rounded to E2M1 (core/e2m1.h), at most 6 in
  /// magnitude; s = 0 gives 0. A row in which any x is NaN or infinite becomes NaN. Used with
  /// WeightEncoding::kNvfp4Group16.
  kNvfp4Static,
  /// As kFp8PerRow, with an s of its own for each kFp8GroupSize consecutive columns; the sum of a group's products is
  /// multiplied by the scales of both sides. Used with WeightEncoding::kFp8Group128.
  kFp8PerGroup128,
  /// As kFp8PerGroup128, but every s is rounded up to a power of two, 2^-126 at least, so that E8M0 holds it
  /// (DeepSeek-V3.1). s = 0 stays 0.
  kFp8PerGroup128E8m0,
};

/// Whether Matmul::act_scale is needed.
[[nodiscard]] constexpr bool has_stored_scale(ActQuant act) {
  return act == ActQuant::kInt8Static || act == ActQuant::kFp8Static || act == ActQuant::kNvfp4Static;
}

/// Whether activations are 8-bit integers, which have one scale for a whole row.
[[nodiscard]] constexpr bool has_int8_values(ActQuant act) {
  return act == ActQuant::kInt8PerRow || act == ActQuant::kInt8Static;
}

/// Whether activations are in E4M3 with one scale for a whole row.
[[nodiscard]] constexpr bool has_fp8_rows(ActQuant act) {
  return act == ActQuant::kFp8PerRow || act == ActQuant::kFp8Static;
}

/// Whether activations are in E4M3 with a scale for each kFp8GroupSize consecutive columns.
[[nodiscard]] constexpr bool has_fp8_groups(ActQuant act) {
  return act == ActQuant::kFp8PerGroup128 || act == ActQuant::kFp8PerGroup128E8m0;
}

/// Whether activations are quantized to E4M3.
[[nodiscard]] constexpr bool has_fp8_values(ActQuant act) {
  return has_fp8_rows(act) || has_fp8_groups(act);
}

enum class Epilogue : std::uint8_t {
  kNone,
  kBias,               ///< out = x W^T + bias
  kGelu,               ///< out = gelu(x W^T + bias), with the gelu of kGatedGelu; the bias may be absent
  kAddResidual,        ///< out = aux + x W^T; out may be aux
  kGatedSilu,          ///< weight joined as kInterleaveGateUp: out = silu(x G^T) * (x U^T); silu(a) = a / (1 + exp(-a))
                       ///< With a bias, it is added to both products first.
  kGatedGelu,          ///< as kGatedSilu, with gelu(a) = a/2 (1 + tanh(sqrt(2/pi) (a + 0.044715 a^3)))
  kGatedClampedSwish,  ///< as kGatedSilu, with gate g clamped to g <= 7 and up u to -7 <= u <= 7:
                       ///< out = g / (1 + exp(-1.702 g)) * (u + 1)   (gpt-oss; kClampedSwish)
};

/// The constants of kGatedClampedSwish.
struct ClampedSwish {
  float limit = 7.0F;
  float alpha = 1.702F;
};
inline constexpr ClampedSwish kClampedSwish;

/// True for epilogues that combine two products, gate and up, into one output.
[[nodiscard]] constexpr bool is_gated(Epilogue epilogue) {
  return epilogue == Epilogue::kGatedSilu || epilogue == Epilogue::kGatedGelu ||
         epilogue == Epilogue::kGatedClampedSwish;
}

/// out[t] = scale * table[token_ids[t]]   out: [T, cols]
struct Embed {
  WeightId table;
  ValueId out;
  float scale = 1.0F;
};

/// sum = x + add (or x without add)
/// out[t, i] = residual[t, i] + sum[t, i] * weight[i] / sqrt(mean_i(sum[t, i]^2) + eps)    arXiv:1910.07467, eq. 4
/// x, add, sum_out, residual, out: [T or L, cols]. sum_out, if given, receives the sum and may be x. Without residual,
/// nothing is added to the product. With residual, which may be out, there is neither add nor sum_out.
/// If `centers`, it is LayerNorm, arXiv:1607.06450: the mean of sum[t] is subtracted from it first (not in sum_out),
/// and a bias may be added to the product.
struct RmsNorm {
  ValueId x;
  std::optional<ValueId> add = {};
  WeightId weight;
  float eps = 1e-5F;
  std::optional<ValueId> sum_out = {};
  std::optional<ValueId> residual = {};
  ValueId out;
  bool centers = false;
  std::optional<WeightId> bias = {};  ///< [1, cols]
};

/// out = epilogue(x W^T), followed by out = c * tanh(out / c) if softcap = c > 0.
/// x: [rows, K], weight: [N, K] as prepared, out: [rows, N], or [rows, N/2] for the gated epilogues.
struct Matmul {
  ValueId x;
  WeightId weight;
  ValueId out;
  ActQuant act = ActQuant::kNone;
  float act_scale = 0.0F;  ///< where has_stored_scale(act): s or g, a positive number; else 0
  Epilogue epilogue = Epilogue::kNone;
  std::optional<ValueId> aux = {};  ///< kAddResidual: [rows, N]
  std::optional<WeightId> bias =
      {};  ///< kBias, and optional with kGelu or a gated epilogue: [1, N], as the parts of the weight
  float softcap = 0.0F;
};

/// How the heads of a token's q, and those of its k, are normalized.
enum class HeadNorm : std::uint8_t {
  kRmsOfHead,  ///< an RMS norm of each head, with the same weights [1, head_dim] for all heads
  kRmsOfAllHeads,  ///< one RMS norm of all heads, with weights [1, n_heads * head_dim] of q and [1, n_kv_heads * head_dim] of k
  kLayerNormOfHead,  ///< a LayerNorm of each head (RmsNorm::centers), with weights of its own; their shape is that of kRmsOfAllHeads
};

/// The number of weights of a norm of `n_heads` heads.
[[nodiscard]] constexpr std::int64_t n_head_norm_weights(HeadNorm norm, std::int64_t n_heads, std::int64_t head_dim) {
  return norm == HeadNorm::kRmsOfHead ? head_dim : n_heads * head_dim;
}

/// Splits qkv, optionally normalizes q and k, rotates both, and writes k and v into the cache at Batch::kv_slots. The
/// RopeSpec may enlarge rotated queries by their position.
/// qkv: [T, (n_heads + 2 n_kv_heads) * head_dim] = q heads, k heads, v heads; q_out: [T, n_heads * head_dim]
/// With v, the v heads are a separate value, and qkv has only the q heads and the k heads. With k as well (never
/// without v), qkv has only the q heads.
struct RopeAppend {
  ValueId qkv;
  std::optional<ValueId> k = {};  ///< [T, n_kv_heads * head_dim]; where absent, the k heads follow the q heads in qkv
  std::optional<ValueId> v = {};  ///< [T, n_kv_heads * head_dim]; where absent, the v heads are the last columns of qkv
  ValueId q_out;
  std::int32_t layer = 0;
  HeadShape heads;
  RopeId rope;
  std::optional<WeightId> q_norm = {};
  std::optional<WeightId> k_norm = {};
  HeadNorm head_norm = HeadNorm::kRmsOfHead;
  float norm_eps = 1e-6F;
};

/// Writes the latents of multi-head latent attention into the cache at Batch::kv_slots, and rotates the queries:
///   key[t] = (latent[t, :R] * norm / sqrt(mean(latent[t, :R]^2) + norm_eps), rotated latent[t, R:])   R = latent_dim
/// The elements of each query head from R on are rotated in the same way. Its first R elements are already queries to
/// latents (HeadMatmul) and are not rotated. The RopeSpec's query_growth applies to all elements.
/// latent: [T, head_dim]; q, q_out: [T, n_heads * head_dim]; q_out may be q. There is one KV head.
struct LatentAppend {
  ValueId latent;
  ValueId q;
  ValueId q_out;
  std::int32_t layer = 0;
  HeadShape heads;
  RopeId rope;
  WeightId norm;  ///< [1, latent_dim]
  float norm_eps = 1e-6F;
};

/// One product for each head, with a matrix of its own: the first K elements of a head are multiplied, and the elements
/// after them are copied to the place after the product:
///   out[t, h] = (x[t, h, :K] W_h^T, x[t, h, K:])
/// weights: [N, K] for each of n_heads heads, stored as expert h. x: [T, n_heads * (K + C)]; out: [T, n_heads * (N + C)].
struct HeadMatmul {
  ValueId x;
  WeightId weights;
  ValueId out;
  std::int32_t n_heads = 0;
};

/// Causal attention over the paged cache: the token at position p of a sequence attends to positions j <= p, and only
/// to j > p - window if window > 0. score = softcap(scale * q.k), out = softmax(score) v.
/// With sinks, head h has an additional learned score sinks[h] that has no value vector: it only enters the sum of the
/// softmax, so out = sum_j exp(score_j) v_j / (exp(sinks[h]) + sum_j exp(score_j)) (gpt-oss). It is neither scaled nor
/// capped.
/// q: [T, n_heads * head_dim]; out: [T, n_heads * value_dim()]; q may be out if they have equally many columns.
struct Attention {
  ValueId q;
  ValueId out;
  std::int32_t layer = 0;
  HeadShape heads;
  float scale = 0.0F;
  float softcap = 0.0F;
  std::int32_t window = 0;
  std::optional<WeightId> sinks = {};  ///< [1, n_heads]
};

/// out[l] = x[logit_rows[l]]   x: [T, cols], out: [L, cols]. The output head runs on these rows only.
struct SelectRows {
  ValueId x;
  ValueId out;
};

/// out[t, c] = x[t, columns[c]]   x: [rows, K], out: [rows, length of the list]
/// Values are copied bit by bit. GPTQ's act order stores the columns of a weight sorted by group, so that groups are
/// consecutive; the input of the product is first brought into that order. The list is not a weight, because kernels
/// use its numbers as indices, and check_graph() can check indices only if they are in the graph.
/// With expert, each expert has C columns of its own in one list, expert after expert, and a token has a block of
/// outputs for each of its n_top experts:
///   out[t, j * C + c] = x[t, columns[expert[t, j] * C + c]]   x: [T, K], out: [T, n_top * C], list: [n_experts * C]
/// With x_per_expert as well, x is [T, n_top * K], and expert j of a token reads block j of it: x[t, j * K +
/// columns[..]].
struct SelectColumns {
  ValueId x;
  ColumnListId columns;
  ValueId out;
  std::optional<ValueId> expert = {};  ///< [T, n_top] i32, which a Route wrote
  std::int32_t n_top = 0;              ///< with expert, else 0
  bool x_per_expert = false;           ///< with expert only
};

/// Chooses the next token of each logit row (backend_kit/sampling.h) and reports the log-probabilities of the n_top
/// most likely tokens.
/// logits: [L, vocab_size].
struct Sample {
  ValueId logits;
  std::int32_t n_top = 0;
  bool keep_logits = false;  ///< return all logits as well (golden pass, eval)
};

/// The function that a router applies to its scores x gate^T + bias.
enum class RouteScore : std::uint8_t {
  kSoftmax,  ///< over all experts
  kSigmoid,  ///< 1 / (1 + exp(-score)), of each expert by itself
};

/// The score of a group of experts.
enum class GroupScore : std::uint8_t {
  kLargest,   ///< the largest score of its experts (DeepSeek-V2)
  kSumOfTwo,  ///< the sum of the two largest (DeepSeek-V3)
};

/// Router of a mixture of experts: the n_top largest scores are kept and, if `renormalize`, scaled to the sum 1. With
/// one expert and kSigmoid it is the gate of an expert that all tokens share.
/// With n_groups > 1, the experts form groups of equally many consecutive ones, and experts are chosen only from the
/// n_top_groups best groups. Ties between groups or experts go to the first. A token with a score of NaN gets the first
/// experts, with weights of NaN.
/// x: [T, dim]; expert: [T, n_top] i32; weight: [T, n_top].
struct Route {
  ValueId x;
  WeightId gate;
  std::optional<WeightId> bias = {};  ///< [1, n_experts], added to the scores
  RouteScore score = RouteScore::kSoftmax;
  std::int32_t n_top = 0;
  bool renormalize = true;
  /// [1, n_experts], with kSigmoid: groups and experts are chosen by sigmoid(score) + choice_bias. The bias does not
  /// enter the experts' weights (DeepSeek-V3).
  std::optional<WeightId> choice_bias = {};
  std::int32_t n_groups = 1;
  std::int32_t n_top_groups = 1;
  GroupScore group_score = GroupScore::kLargest;
  float scale = 1.0F;  ///< the weights are multiplied by it at last
  ValueId expert;
  ValueId weight;
};

/// One expert matmul per (token, chosen expert).
/// First matmul (weight absent): x [T, K] -> out [T, n_top * N'], where block j of a token comes from its expert j.
/// With x_per_expert, x is [T, n_top * K], as in the second matmul: each expert has an input of its own, for example
/// from SelectColumns.
/// Second matmul (weight present): x [T, n_top * K] -> out [T, N] = sum_j weight[j] * (x_j W_j^T), plus aux with
/// kAddResidual.
/// A bias is added to each product x W^T before the epilogue, and before the product is weighted.
struct GroupedMatmul {
  ValueId x;
  ValueId expert;
  std::optional<ValueId> weight = {};
  WeightId weights;                   ///< of n_experts experts
  std::optional<WeightId> bias = {};  ///< [1, n_experts * N]: expert after expert, each as the parts of its weight
  ValueId out;
  std::int32_t n_top = 0;
  ActQuant act = ActQuant::kNone;
  float act_scale = 0.0F;  ///< as Matmul::act_scale, one for all experts
  Epilogue epilogue = Epilogue::kNone;
  std::optional<ValueId> aux = {};
  bool x_per_expert = false;  ///< of the first matmul; the second always has an input for each expert
};

/// Whether x has n_top inputs for each token, one for each of its experts.
[[nodiscard]] constexpr bool has_x_per_expert(const GroupedMatmul& op) {
  return op.weight.has_value() || op.x_per_expert;
}

using Op = std::variant<Embed, RmsNorm, Matmul, RopeAppend, LatentAppend, HeadMatmul, Attention, SelectRows,
                        SelectColumns, Sample, Route, GroupedMatmul>;

/// "embed", "rms_norm", "matmul", ...
[[nodiscard]] std::string_view op_name(const Op& op);
/// True if `name` is the op_name() of an operation.
[[nodiscard]] bool is_op_name(std::string_view name);

/// The forward pass of one step: operations in execution order, and the values they read and write.
struct StepGraph {
  std::vector<ValueDesc> values;
  std::vector<Op> ops;
  std::vector<std::string> labels;  ///< one per operation: "layers.3.attention.qkv"
  std::vector<RopeSpec> ropes;
  std::vector<std::vector<std::int32_t>> column_lists;  ///< of SelectColumns; layers with the same order share one
};

}  // namespace secondsource
