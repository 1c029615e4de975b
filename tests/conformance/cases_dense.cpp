#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "backend/op_access.h"
#include "conformance/build.h"
#include "conformance/cases.h"

namespace secondsource::conformance {
namespace {

constexpr std::int32_t kIds = 23;

std::int32_t pick_rows(Dice& dice) {
  return dice.one_of<std::int32_t>({1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 130});
}

std::int32_t pick_extent(Dice& dice) {
  return dice.one_of<std::int32_t>(
      {1, 3, 7, 16, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129, 160, 200, 256, 257, 512, 1000, 2049});
}

WeightEncoding pick_encoding(Dice& dice) {
  return dice.one_of({WeightEncoding::kF32, WeightEncoding::kBf16, WeightEncoding::kBf16, WeightEncoding::kF16,
                      WeightEncoding::kInt8PerRow, WeightEncoding::kInt8PerRow, WeightEncoding::kInt8Group32,
                      WeightEncoding::kInt4Group32});
}

std::string_view epilogue_name(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kNone:
      return "none";
    case Epilogue::kBias:
      return "bias";
    case Epilogue::kAddResidual:
      return "add_residual";
    case Epilogue::kGatedSilu:
      return "gated_silu";
    case Epilogue::kGatedGelu:
      return "gated_gelu";
    case Epilogue::kGatedClampedSwish:
      return "gated_clamped_swish";
    case Epilogue::kGelu:
      return "gelu";
  }
  return "unknown";
}

/// A stored scale in the middle of the scales that input_of_ties() and input_of_fp8_ties() draw.
constexpr float kMiddleOfTies = 0x1p-3F;

/// Rows whose groups of `group` columns have a power of two as scale s = max|x| / 448. Every second value is half-way between two
/// neighbouring E4M3 numbers, including subnormal ones.
ValueId input_of_fp8_ties(CaseBuilder& b, std::int32_t cols, std::int32_t group) {
  std::vector<float> values;
  for (std::int32_t first = 0; first < kIds * cols; first += std::min(group, cols - first % cols)) {
    const std::int32_t n = std::min(group, cols - first % cols);
    const float scale = std::exp2(static_cast<float>(b.dice.between(-8, 2)));
    for (std::int32_t col = 0; col < n; ++col) {
      // The last place of a number in [2^e, 2^(e + 1)) is 2^(e - 3); below 2^-6 it is 2^-9.
      const std::int32_t exponent = b.dice.between(-7, 7);
      const float half_place = std::exp2(static_cast<float>(std::max(exponent, -6) - 4));
      const std::int32_t halves = exponent < -6 ? b.dice.between(0, 15) : b.dice.between(16, 31);
      const float sign = b.dice.chance(0.5) ? 1.0F : -1.0F;
      values.push_back(sign * scale * half_place * static_cast<float>(halves));
    }
    values[static_cast<std::size_t>(first + b.dice.between(0, n - 1))] = scale * 448.0F;
  }
  const ValueId out = b.value(cols);
  b.add(Embed{.table = b.weight(make_weight("ties", values, kIds, cols, WeightEncoding::kF32)), .out = out}, "ties");
  return out;
}

/// Rows whose groups of 16 columns have a power of two as scale s = max|x| / 6 / kMiddleOfTies. Every second value is half-way between two
/// neighbouring E2M1 numbers.
ValueId input_of_nvfp4_ties(CaseBuilder& b, std::int32_t cols) {
  constexpr std::array kPlaces = {0.0F,  0.25F, 0.5F, 0.75F, 1.0F, 1.25F, 1.5F,
                                  1.75F, 2.0F,  2.5F, 3.0F,  3.5F, 4.0F,  5.0F};
  std::vector<float> values;
  for (std::int32_t first = 0; first < kIds * cols;) {
    const std::int32_t n = std::min(static_cast<std::int32_t>(kNvfp4GroupSize), cols - first % cols);
    const float step = kMiddleOfTies * std::exp2(static_cast<float>(b.dice.between(-4, 4)));
    for (std::int32_t col = 0; col < n; ++col) {
      const auto place = static_cast<std::size_t>(b.dice.between(0, std::ssize(kPlaces) - 1));
      values.push_back((b.dice.chance(0.5) ? step : -step) * kPlaces[place]);
    }
    values[static_cast<std::size_t>(first + b.dice.between(0, n - 1))] = step * 6.0F;
    first += n;
  }
  const ValueId out = b.value(cols);
  b.add(Embed{.table = b.weight(make_weight("ties", values, kIds, cols, WeightEncoding::kF32)), .out = out}, "ties");
  return out;
}

/// Rows in which s = max|x| / 127 is a power of two and all values are multiples of s / 2, so that half of them are
/// ties of the quantizer.
ValueId input_of_ties(CaseBuilder& b, std::int32_t cols) {
  std::vector<float> values;
  for (std::int32_t id = 0; id < kIds; ++id) {
    const float half = std::exp2(static_cast<float>(b.dice.between(-8, 2)));
    for (std::int32_t col = 0; col < cols; ++col)
      values.push_back(half * static_cast<float>(b.dice.between(-254, 254)));
    values[static_cast<std::size_t>(id * cols + b.dice.between(0, cols - 1))] = half * 254.0F;
  }
  const ValueId out = b.value(cols);
  b.add(Embed{.table = b.weight(make_weight("ties", values, kIds, cols, WeightEncoding::kF32)), .out = out}, "ties");
  return out;
}

/// Functions that draw the number of activation rows and the numbers of inputs and outputs of the weight.
struct ProductExtents {
  std::int32_t (*rows)(Dice&);
  std::int32_t (*inputs)(Dice&);
  std::int32_t (*outputs)(Dice&);
  bool has_gated_bias = false;  ///< only gated epilogues, and each with a bias
  bool is_gelu = false;         ///< only kGelu, mostly with a bias
};

constexpr ProductExtents kAllExtents{
    .rows = pick_rows, .inputs = pick_extent, .outputs = [](Dice& dice) { return std::min(pick_extent(dice), 700); }};

/// `quantized` is the encoding of the weight, which is then multiplied by quantized activations. nullopt means any
/// encoding, with activations that are not quantized.
Case make_product(const char* family, std::uint64_t seed, std::optional<WeightEncoding> quantized,
                  const ProductExtents& extents) {
  CaseBuilder b(family, seed);
  ActQuant act = quantized ? activations_for(*quantized) : ActQuant::kNone;
  // Published variants with -w8a16 and -w4a16 in their names multiply weights in E4M3 and NVFP4 by activations that are not quantized.
  const bool is_fp8 = quantized && has_fp8_codes(*quantized);
  if (has_fp8_groups(act) && b.dice.chance(0.5)) act = ActQuant::kFp8PerGroup128E8m0;
  const bool is_nvfp4 = quantized == WeightEncoding::kNvfp4Group16;
  if ((is_fp8 || is_nvfp4) && b.dice.chance(0.35)) act = ActQuant::kNone;
  if (act == ActQuant::kFp8PerRow && b.dice.chance(0.5)) act = ActQuant::kFp8Static;
  if (quantized == WeightEncoding::kInt8PerRow && b.dice.chance(0.5)) act = ActQuant::kInt8Static;
  const WeightEncoding encoding = quantized ? *quantized : pick_encoding(b.dice);
  const auto epilogue = extents.is_gelu ? Epilogue::kGelu
                        : extents.has_gated_bias
                            ? b.dice.one_of({Epilogue::kGatedSilu, Epilogue::kGatedGelu})
                            : b.dice.one_of({Epilogue::kNone, Epilogue::kBias, Epilogue::kAddResidual,
                                             Epilogue::kGatedSilu, Epilogue::kGatedGelu, Epilogue::kAddResidual});
  const bool gated = epilogue == Epilogue::kGatedSilu || epilogue == Epilogue::kGatedGelu;
  const std::int32_t n_inputs = extents.inputs(b.dice);
  const std::int32_t n_outputs = extents.outputs(b.dice);
  constexpr std::int64_t kMaxProducts = 20'000'000;
  const std::int64_t weight_size = std::int64_t{n_inputs} * n_outputs * (gated ? 2 : 1);
  const auto n_rows = std::min(extents.rows(b.dice), static_cast<std::int32_t>(kMaxProducts / weight_size) + 1);

  b.is_exact_in_bf16 = b.dice.chance(0.5);
  const float deviation = b.dice.one_of({0.1F, 1.0F, 10.0F});
  const bool has_ties = act != ActQuant::kNone && b.is_exact_in_bf16;
  const ValueId x = has_ties ? (is_nvfp4 ? input_of_nvfp4_ties(b, n_inputs)
                                : is_fp8 ? input_of_fp8_ties(b, n_inputs, has_fp8_rows(act) ? n_inputs : 128)
                                         : input_of_ties(b, n_inputs))
                             : b.input(n_inputs, kIds, deviation);
  const std::int64_t weight_rows = gated ? 2 * n_outputs : n_outputs;
  std::vector<std::int64_t> parts = {weight_rows};
  Join join = Join::kNone;
  if (gated) {
    parts = {n_outputs, n_outputs};
    join = Join::kInterleaveGateUp;
  } else if (n_outputs > 2 && b.dice.chance(0.3)) {
    const std::int64_t first = b.dice.between(1, n_outputs - 2);
    parts = {first, 1, n_outputs - first - 1};
    join = Join::kConcatRows;
  }
  Matmul op{.x = x, .weight = b.matrix(weight_rows, n_inputs, encoding, parts, join), .out = {}};
  op.act = act;
  // For ties, the stored scale is in the middle of their scales. For other inputs, values beyond two standard deviations exceed its range.
  if (has_stored_scale(act)) {
    op.act_scale = has_ties ? kMiddleOfTies : 2 * deviation / largest_with_stored_scale(act);
  }
  op.epilogue = epilogue;
  if (epilogue == Epilogue::kBias) op.bias = b.vector(n_outputs, 0.0F, 1.0F);
  if (extents.has_gated_bias) op.bias = b.vector(weight_rows, 0.0F, 1.0F);
  if (extents.is_gelu && b.dice.chance(0.7)) op.bias = b.vector(n_outputs, 0.0F, 1.0F);
  if (epilogue == Epilogue::kAddResidual) op.aux = b.input(n_outputs, kIds);
  // The contract allows out and aux to be the same value.
  const bool in_place = op.aux && b.dice.chance(0.5);
  op.out = in_place ? *op.aux : b.value(n_outputs);
  if ((!gated || extents.has_gated_bias) && b.dice.chance(0.2)) op.softcap = 1.5F;
  b.add(op, "product");
  const std::int32_t n_padding = b.dice.chance(0.2) ? b.dice.between(1, 3) : 0;
  b.submit(plain_batch(b, n_rows, kIds, n_padding));
  const char* const inputs = act == ActQuant::kNone && (is_fp8 || is_nvfp4) ? " weights"
                             : act == ActQuant::kFp8PerGroup128E8m0         ? " e8m0"
                             : has_stored_scale(act) && !is_nvfp4           ? " static"
                                                                            : "";
  b.result.name =
      fmt::format("{}{}{} m={}+{} k={} n={} {}{}{} parts={}", to_string(encoding), inputs,
                  b.is_exact_in_bf16 ? " exact" : "", n_rows, n_padding, n_inputs, n_outputs, epilogue_name(epilogue),
                  op.softcap > 0.0F ? " softcap" : "", in_place ? " in place" : "", parts.size());
  return std::move(b.result);
}

/// The logits for sampling: `n_ids` different rows, one of which may contain a NaN.
struct SampledRows {
  std::int32_t vocab;
  std::int32_t n_ids;
  double nan_chance;
  double forbidden_best_chance = 0.0;  ///< chance that a row's best token is forbidden, not a random one
};

/// Returns the index of the largest logit in row `id`.
std::int32_t best_of(std::span<const float> table, std::int32_t vocab, std::int32_t id) {
  const auto row =
      table.subspan(static_cast<std::size_t>(id) * static_cast<std::size_t>(vocab), static_cast<std::size_t>(vocab));
  return static_cast<std::int32_t>(std::ranges::max_element(row) - row.begin());
}

/// Samples each row with parameters of its own.
Case sampling_case(CaseBuilder b, const SampledRows& sampled) {
  const auto [vocab, n_ids, nan_chance, forbidden_best_chance] = sampled;
  const std::int32_t n_rows = b.dice.between(1, 9);
  const float deviation = b.dice.one_of({0.5F, 3.0F, 20.0F});
  std::vector<float> table =
      b.dice.normals(static_cast<std::size_t>(vocab) * static_cast<std::size_t>(n_ids), deviation);
  const bool ties = b.dice.chance(0.4);
  if (ties) {
    for (float& value : table) value = std::round(value);
  }
  const bool with_nan = b.dice.chance(nan_chance);
  if (with_nan) table[static_cast<std::size_t>(b.dice.between(0, vocab * n_ids - 1))] = NAN;
  const WeightId weight = b.weight(make_weight("logits", table, n_ids, vocab, WeightEncoding::kF32));
  const ValueId x = b.value(vocab);
  const ValueId logits = b.value(vocab, Rows::kLogits);
  b.add(Embed{.table = weight, .out = x}, "rows");
  b.add(SelectRows{.x = x, .out = logits}, "select");
  b.add(
      Sample{
          .logits = logits, .n_top = std::min(vocab, b.dice.one_of<std::int32_t>({0, 1, 5, 20})), .keep_logits = true},
      "sample");
  BatchStorage batch = plain_batch(b, n_rows, n_ids);
  for (std::int32_t row = 0; row < n_rows; ++row) {
    SamplingParams params;
    params.temperature = b.dice.one_of({0.0F, 0.7F, 1.0F, 2.0F});
    params.top_k = b.dice.one_of<std::int32_t>({0, 1, 5, 40});
    params.top_p = b.dice.one_of({1.0F, 0.9F, 0.3F});
    params.seed = b.result.seed + static_cast<std::uint64_t>(row % 2);
    params.position = row;
    if (b.dice.chance(0.2)) params.forced_id = b.dice.between(0, vocab - 1);
    if (vocab > 1 && b.dice.chance(0.3)) params.forbidden_id = b.dice.between(0, vocab - 1);
    if (forbidden_best_chance > 0.0 && b.dice.chance(forbidden_best_chance)) {
      params.forbidden_id = best_of(table, vocab, batch.token_ids[static_cast<std::size_t>(row)]);
    }
    if (b.dice.chance(0.8)) Sequences::want_logits(batch, row, params);
  }
  if (batch.logit_rows.empty()) Sequences::want_logits(batch, 0);
  b.submit(std::move(batch));
  b.result.name = fmt::format("vocab={} rows={} deviation={}{}{}", vocab, n_rows, deviation, ties ? " ties" : "",
                              with_nan ? " nan" : "");
  return std::move(b.result);
}

}  // namespace

Case make_embed_case(std::uint64_t seed) {
  CaseBuilder b("embed", seed);
  const bool is_published = b.dice.between(0, 3) == 0;  // one of the encodings whose matmuls have families of their own
  const WeightEncoding encoding =
      is_published
          ? b.dice.one_of({WeightEncoding::kFp8PerRow, WeightEncoding::kInt4Group32Zero, WeightEncoding::kFp8Group128})
          : pick_encoding(b.dice);
  const std::int32_t n_ids = b.dice.between(1, 300);
  const std::int32_t cols = pick_extent(b.dice);
  const std::int32_t n_rows = pick_rows(b.dice);
  const float scale = b.dice.one_of({1.0F, 11.3125F});
  const WeightId table = b.matrix(n_ids, cols, encoding);
  b.add(Embed{.table = table, .out = b.value(cols), .scale = scale}, "embed");
  b.submit(plain_batch(b, n_rows, n_ids, b.dice.between(0, 2)));
  b.result.name = fmt::format("{} ids={} cols={} m={} scale={}", to_string(encoding), n_ids, cols, n_rows, scale);
  return std::move(b.result);
}

Case make_rms_norm_case(std::uint64_t seed) {
  CaseBuilder b("rms_norm", seed);
  const std::int32_t cols = pick_extent(b.dice);
  const std::int32_t n_rows = pick_rows(b.dice);
  const float deviation = b.dice.one_of({1e-4F, 1.0F, 300.0F});
  const ValueId x = b.input(cols, kIds, deviation);
  RmsNorm op{.x = x, .add = {}, .weight = b.vector(cols, 1.0F, 0.3F), .sum_out = {}, .out = {}};
  op.eps = b.dice.one_of({1e-5F, 1e-6F});
  if (b.dice.chance(0.6)) op.add = b.input(cols, kIds, deviation);
  const std::int32_t place = b.dice.between(0, 2);
  if (place == 1) op.sum_out = b.value(cols);
  if (place == 2) op.sum_out = x;  // the contract allows sum_out and x to be the same value
  op.out = b.value(cols);
  b.add(op, "norm");
  b.submit(plain_batch(b, n_rows, kIds, b.dice.between(0, 2)));
  b.result.name = fmt::format("cols={} m={} deviation={}{}{}", cols, n_rows, deviation, op.add ? " add" : "",
                              place == 0   ? ""
                              : place == 1 ? " sum"
                                           : " sum in place");
  return std::move(b.result);
}

Case make_residual_norm_case(std::uint64_t seed) {
  CaseBuilder b("rms_norm_residual", seed);
  const std::int32_t cols = pick_extent(b.dice);
  const std::int32_t n_rows = pick_rows(b.dice);
  constexpr std::int32_t kIds = 57;
  const float deviation = b.dice.one_of({1e-4F, 1.0F, 300.0F});
  RmsNorm op{.x = b.input(cols, kIds, deviation),
             .weight = b.vector(cols, 1.0F, 0.3F),
             .eps = b.dice.one_of({1e-5F, 1e-6F}),
             .residual = b.input(cols, kIds, b.dice.one_of({1.0F, 30.0F})),
             .out = {}};
  const bool in_place = b.dice.chance(0.5);  // the contract allows residual and out to be the same value
  op.out = in_place ? *op.residual : b.value(cols);
  b.add(op, "norm");
  b.submit(plain_batch(b, n_rows, kIds, b.dice.between(0, 2)));
  b.result.name =
      fmt::format("cols={} m={} deviation={}{}", cols, n_rows, deviation, in_place ? " residual in place" : "");
  return std::move(b.result);
}

Case make_norm_product_case(std::uint64_t seed) {
  CaseBuilder b("norm_product", seed);
  const std::int32_t cols = b.dice.one_of<std::int32_t>({64, 200, 256, 576});
  const std::int32_t n_outputs = b.dice.one_of<std::int32_t>({16, 65, 130});
  const std::int32_t n_rows = b.dice.one_of<std::int32_t>({1, 1, 2, 3, 4, 17});
  constexpr std::int32_t kIds = 57;
  const float deviation = b.dice.one_of({1e-3F, 3e-3F, 1.0F});
  const RmsNorm norm{.x = b.input(cols, kIds, deviation),
                     .weight = b.vector(cols, 1.0F, 0.3F),
                     .eps = b.dice.one_of({1e-5F, 1e-6F}),
                     .out = b.value(cols)};
  b.add(norm, "norm");
  const WeightEncoding encoding = pick_encoding(b.dice);
  const Matmul product{.x = norm.out, .weight = b.matrix(n_outputs, cols, encoding), .out = b.value(n_outputs)};
  b.add(product, "product");
  b.observe_only(std::vector{product.out});
  b.submit(plain_batch(b, n_rows, kIds, b.dice.between(0, 2)));
  b.result.name =
      fmt::format("{} m={} k={} n={} deviation={}", to_string(encoding), n_rows, cols, n_outputs, deviation);
  return std::move(b.result);
}

Case make_layer_norm_case(std::uint64_t seed) {
  CaseBuilder b("layer_norm", seed);
  // Rows have enough columns that their deviation is never tiny compared with the mean, because f32 would then lose the difference.
  const std::int32_t cols = b.dice.one_of<std::int32_t>({7, 16, 33, 64, 200, 1030});
  const std::int32_t n_rows = b.dice.between(1, 20);
  const float deviation = b.dice.one_of({1.0F, 30.0F});
  std::vector<float> values =
      b.dice.normals(static_cast<std::size_t>(cols * kIds), deviation, b.dice.one_of({0.0F, 3.0F}));
  const WeightId table = b.weight(make_weight("input", values, kIds, cols, WeightEncoding::kF32));
  const ValueId x = b.value(cols);
  b.add(Embed{.table = table, .out = x}, "input");
  RmsNorm op{
      .x = x, .weight = b.vector(cols, 1.0F, 0.3F), .eps = b.dice.one_of({1e-5F, 1e-6F}), .out = {}, .centers = true};
  if (b.dice.chance(0.5)) op.bias = b.vector(cols, 0.0F, 1.0F);
  const bool has_residual = b.dice.chance(0.25);
  if (has_residual) op.residual = b.input(cols, kIds);
  const bool has_add = !has_residual && b.dice.chance(0.5);
  if (has_add) op.add = b.input(cols, kIds, deviation);
  const bool has_sum = has_add && b.dice.chance(0.7);
  if (has_sum) op.sum_out = b.dice.chance(0.5) ? x : b.value(cols);
  op.out = b.value(cols);
  b.add(op, "norm");
  b.submit(plain_batch(b, n_rows, kIds, b.dice.between(0, 2)));
  b.result.name = fmt::format("cols={} m={} deviation={}{}{}{}{}", cols, n_rows, deviation, op.bias ? " bias" : "",
                              has_residual ? " residual" : "", has_add ? " add" : "", has_sum ? " sum" : "");
  return std::move(b.result);
}

Case make_gelu_case(std::uint64_t seed) {
  ProductExtents extents = kAllExtents;
  extents.is_gelu = true;
  const bool is_quantized = seed % 3 == 0;
  return make_product("matmul_gelu", seed, is_quantized ? std::optional(WeightEncoding::kInt8PerRow) : std::nullopt,
                      extents);
}

Case make_matmul_case(std::uint64_t seed) {
  return make_product("matmul", seed, std::nullopt, kAllExtents);
}

Case make_long_matmul_case(std::uint64_t seed) {
  // Sizes at which backends split the sums of matmuls into parts.
  return make_product("matmul_long", seed, std::nullopt,
                      {.rows =
                           [](Dice& dice) {
                             return dice.one_of<std::int32_t>({25, 33, 64});
                           },
                       .inputs =
                           [](Dice& dice) {
                             return dice.one_of<std::int32_t>({1024, 1025, 2048, 2112, 3100});
                           },
                       .outputs =
                           [](Dice& dice) {
                             return dice.one_of<std::int32_t>({16, 33, 48, 300});
                           }});
}

/// More rows than the largest tile of any backend has, so that there are several tiles of rows and the last is not full.
constexpr ProductExtents kTall{.rows =
                                   [](Dice& dice) {
                                     return dice.one_of<std::int32_t>({129, 160, 257, 300, 513});
                                   },
                               .inputs =
                                   [](Dice& dice) {
                                     return dice.one_of<std::int32_t>({31, 64, 200, 330});
                                   },
                               .outputs =
                                   [](Dice& dice) {
                                     return dice.one_of<std::int32_t>({9, 40, 130, 257});
                                   }};

Case make_tall_matmul_case(std::uint64_t seed) {
  return make_product("matmul_tall", seed, std::nullopt, kTall);
}

Case make_tall_quantized_matmul_case(std::uint64_t seed) {
  return make_product("matmul_tall_w8a8", seed, WeightEncoding::kInt8PerRow, kTall);
}

Case make_quantized_matmul_case(std::uint64_t seed) {
  return make_product("matmul_w8a8", seed, WeightEncoding::kInt8PerRow, kAllExtents);
}

Case make_quantized_group_matmul_case(std::uint64_t seed) {
  return make_product("matmul_g32_w8a8", seed, WeightEncoding::kInt8Group32, kAllExtents);
}

Case make_quantized_int4_matmul_case(std::uint64_t seed) {
  return make_product("matmul_int4_w8a8", seed, WeightEncoding::kInt4Group32, kAllExtents);
}

Case make_fp8_group_matmul_case(std::uint64_t seed) {
  ProductExtents extents = kAllExtents;
  // Mostly several groups of 128.
  extents.inputs = [](Dice& dice) {
    return dice.one_of<std::int32_t>({1, 33, 127, 128, 129, 200, 256, 257, 384, 512, 640, 1000, 1152, 2049});
  };
  return make_product("matmul_fp8_g128", seed, WeightEncoding::kFp8Group128, extents);
}

Case make_int4_zero_matmul_case(std::uint64_t seed) {
  return make_product("matmul_int4_zp", seed, WeightEncoding::kInt4Group32Zero, kAllExtents);
}

Case make_k_block_matmul_case(const char* family, std::uint64_t seed, WeightEncoding encoding) {
  ProductExtents extents = kAllExtents;
  extents.inputs = [](Dice& dice) { return dice.one_of<std::int32_t>({256, 256, 512, 768, 1024, 2304}); };
  return make_product(family, seed, encoding, extents);
}

Case make_q4_k_matmul_case(std::uint64_t seed) {
  return make_k_block_matmul_case("matmul_q4_k", seed, WeightEncoding::kQ4K);
}

Case make_q5_k_matmul_case(std::uint64_t seed) {
  return make_k_block_matmul_case("matmul_q5_k", seed, WeightEncoding::kQ5K);
}

Case make_q6_k_matmul_case(std::uint64_t seed) {
  return make_k_block_matmul_case("matmul_q6_k", seed, WeightEncoding::kQ6K);
}

Case make_gguf_matmul_case(std::uint64_t seed) {
  ProductExtents extents = kAllExtents;
  const WeightEncoding encoding = other_block_encoding(seed);
  extents.inputs = [](Dice& dice) { return dice.one_of<std::int32_t>({256, 256, 512, 768, 1024, 2304}); };
  if (block_form(encoding).n_cols == 32) {
    extents.inputs = [](Dice& dice) { return dice.one_of<std::int32_t>({32, 64, 96, 160, 288, 1056}); };
  }
  return make_product("matmul_gguf", seed, encoding, extents);
}

Case make_mxfp4_matmul_case(std::uint64_t seed) {
  return make_product("matmul_mxfp4", seed, WeightEncoding::kMxfp4Group32, kAllExtents);
}

Case make_nvfp4_matmul_case(std::uint64_t seed) {
  return make_product("matmul_nvfp4", seed, WeightEncoding::kNvfp4Group16, kAllExtents);
}

Case make_fp8_matmul_case(std::uint64_t seed) {
  return make_product("matmul_fp8", seed, WeightEncoding::kFp8PerRow, kAllExtents);
}

Case make_gated_bias_case(std::uint64_t seed) {
  ProductExtents extents = kAllExtents;
  extents.has_gated_bias = true;
  const bool is_quantized = seed % 3 == 0;
  return make_product("matmul_gated_bias", seed,
                      is_quantized ? std::optional(WeightEncoding::kInt8PerRow) : std::nullopt, extents);
}

Case make_select_columns_case(std::uint64_t seed) {
  CaseBuilder b("select_columns", seed);
  b.is_exact_in_bf16 = b.dice.chance(0.5);
  const std::int32_t n_inputs = b.dice.chance(0.1) ? 17'000 : pick_extent(b.dice);
  const std::int32_t n_rows = std::min(pick_rows(b.dice), 200'000 / n_inputs + 1);
  ValueId x = b.input(n_inputs, kIds);
  const bool has_norm = b.dice.chance(0.4);  // a backend may fuse a norm with the matmul that follows it
  if (has_norm) {
    const ValueId normed = b.value(n_inputs);
    b.add(RmsNorm{.x = x, .weight = b.vector(n_inputs, 1.0F, 0.3F), .out = normed}, "norm");
    x = normed;
  }
  const bool is_of_logits = b.dice.chance(0.3);
  const Rows rows = is_of_logits ? Rows::kLogits : Rows::kTokens;
  if (is_of_logits) {
    const ValueId selected = b.value(n_inputs, rows);
    b.add(SelectRows{.x = x, .out = selected}, "select_rows");
    x = selected;
  }
  // Mostly a permutation of all columns, like the act order of a weight; otherwise random columns, which may repeat.
  const bool is_order = b.dice.chance(0.75);
  const std::int32_t n_lists = b.dice.between(1, 3);
  const bool has_product = b.dice.chance(0.5);
  std::vector<ValueId> results;
  for (std::int32_t list = 0; list < n_lists; ++list) {
    const std::int32_t n_columns = is_order ? n_inputs : std::min(pick_extent(b.dice), 600);
    std::vector<std::int32_t> columns(static_cast<std::size_t>(n_columns));
    for (std::int32_t i = 0; i < n_columns; ++i) {
      columns[static_cast<std::size_t>(i)] = is_order ? i : b.dice.between(0, n_inputs - 1);
    }
    for (std::int32_t i = n_columns - 1; is_order && i > 0; --i) {
      std::swap(columns[static_cast<std::size_t>(i)], columns[static_cast<std::size_t>(b.dice.between(0, i))]);
    }
    b.graph().column_lists.push_back(std::move(columns));
    const ValueId out = b.value(n_columns, rows);
    b.add(SelectColumns{.x = x, .columns = ColumnListId{list}, .out = out}, fmt::format("select_{}", list));
    results.push_back(out);
    if (!has_product) continue;
    constexpr std::int32_t kOutputs = 24;
    results.push_back(b.value(kOutputs, rows));
    b.add(Matmul{.x = out,
                 .weight = b.matrix(kOutputs, n_columns, pick_encoding(b.dice)),
                 .out = results.back(),
                 .aux = {},
                 .bias = {}},
          fmt::format("product_{}", list));
  }
  if (b.dice.chance(0.5)) b.observe_only(results);
  BatchStorage batch = plain_batch(b, n_rows, kIds, b.dice.between(0, 2));
  for (std::int32_t row = n_rows - 1; is_of_logits && row >= 0; row -= b.dice.between(1, 3)) {
    Sequences::want_logits(batch, row);
  }
  b.submit(std::move(batch));
  b.result.name = fmt::format("k={} m={} lists={}{}{}{}{}", n_inputs, n_rows, n_lists, is_order ? " orders" : "",
                              has_norm ? " norm" : "", is_of_logits ? " logits" : "", has_product ? " product" : "");
  return std::move(b.result);
}

Case make_sample_case(std::uint64_t seed) {
  CaseBuilder b("sample", seed);
  const std::int32_t vocab = b.dice.one_of<std::int32_t>({1, 2, 17, 300, 4097});
  return sampling_case(std::move(b), {.vocab = vocab, .n_ids = kIds, .nan_chance = 0.2});
}

Case make_wide_sample_case(std::uint64_t seed) {
  CaseBuilder b("sample_wide", seed);
  // Vocabulary sizes of real models, and one next to a power of two. There are only a few distinct rows, because creating
  // more would take most of the time.
  const std::int32_t vocab = b.dice.one_of<std::int32_t>({8192, 16'385, 32'000, 50'257, 65'536});
  return sampling_case(std::move(b), {.vocab = vocab, .n_ids = 5, .nan_chance = 0.5, .forbidden_best_chance = 0.4});
}

}  // namespace secondsource::conformance
