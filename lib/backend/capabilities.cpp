#include "backend/capabilities.h"

#include <array>
#include <utility>

namespace secondsource {
namespace {

/// The values that the sample operations below read and write.
constexpr ValueId kWide{0};     // [T, 192]: q, k, v of one head of 64
constexpr ValueId kNarrow{1};   // [T, 64]
constexpr ValueId kSecond{2};   // [T, 64]
constexpr ValueId kLogits{3};   // [L, 64]
constexpr ValueId kExpert{4};   // [T, 2] i32
constexpr ValueId kShare{5};    // [T, 2]
constexpr ValueId kExperts{6};  // [T, 2 * 64]

std::vector<ValueDesc> sample_values() {
  return {
      {.cols = 192}, {.cols = 64}, {.cols = 64}, {.rows = Rows::kLogits, .cols = 64}, {.dtype = DType::kI32, .cols = 2},
      {.cols = 2},   {.cols = 128}};
}

constexpr HeadShape kLatentHeads{.n_heads = 1, .n_kv_heads = 1, .head_dim = 64, .latent_dim = 32};
constexpr HeadShape kHeads{.n_heads = 1, .n_kv_heads = 1, .head_dim = 64};
constexpr WeightId kWeight{0};

/// An ordinary instance of each operation. A new operation needs one too, or sample_ops() does not compile.
template <typename T>
constexpr void* kSample = nullptr;
template <>
constexpr Embed kSample<Embed>{.table = kWeight, .out = kNarrow};
template <>
constexpr RmsNorm kSample<RmsNorm>{.x = kNarrow, .weight = kWeight, .out = kSecond};
template <>
constexpr Matmul kSample<Matmul>{.x = kNarrow, .weight = kWeight, .out = kSecond};
template <>
constexpr RopeAppend kSample<RopeAppend>{.qkv = kWide, .q_out = kNarrow, .heads = kHeads, .rope = RopeId{0}};
template <>
constexpr LatentAppend kSample<LatentAppend>{
    .latent = kNarrow, .q = kSecond, .q_out = kSecond, .heads = kLatentHeads, .rope = RopeId{0}, .norm = kWeight};
template <>
constexpr HeadMatmul kSample<HeadMatmul>{.x = kNarrow, .weights = kWeight, .out = kSecond, .n_heads = 2};
template <>
constexpr Attention kSample<Attention>{.q = kNarrow, .out = kSecond, .heads = kHeads, .scale = 0.125F};
template <>
constexpr SelectRows kSample<SelectRows>{.x = kNarrow, .out = kLogits};
template <>
constexpr SelectColumns kSample<SelectColumns>{.x = kNarrow, .columns = ColumnListId{0}, .out = kSecond};
template <>
constexpr Sample kSample<Sample>{.logits = kLogits, .n_top = 1};
template <>
constexpr Route kSample<Route>{.x = kNarrow, .gate = kWeight, .n_top = 2, .expert = kExpert, .weight = kShare};
template <>
constexpr GroupedMatmul kSample<GroupedMatmul>{
    .x = kNarrow, .expert = kExpert, .weights = kWeight, .out = kExperts, .n_top = 2};

/// In the order of the variant's alternatives.
std::vector<Op> sample_ops() {
  return []<std::size_t... kIndex>(std::index_sequence<kIndex...>) {
    return std::vector<Op>{kSample<std::variant_alternative_t<kIndex, Op>>...};
  }
  (std::make_index_sequence<std::variant_size_v<Op>>{});
}

}  // namespace

Capabilities probe_capabilities(const Backend& backend) {
  Capabilities capabilities;
  const std::vector<ValueDesc> values = sample_values();
  for (const Op& op : sample_ops()) {
    capabilities.operations.push_back({std::string(op_name(op)), backend.supports(op, values)});
  }
  for (const WeightEncoding encoding :
       {WeightEncoding::kF32, WeightEncoding::kBf16, WeightEncoding::kF16, WeightEncoding::kInt8PerRow,
        WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32, WeightEncoding::kInt4Group32Zero,
        WeightEncoding::kMxfp4Group32}) {
    capabilities.weights.push_back({encoding, ActQuant::kNone, backend.supports_weight(encoding, ActQuant::kNone)});
  }
  for (const WeightEncoding encoding : kBlockEncodings) {
    capabilities.weights.push_back({encoding, ActQuant::kNone, backend.supports_weight(encoding, ActQuant::kNone)});
  }
  for (const WeightEncoding encoding :
       {WeightEncoding::kInt8PerRow, WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32}) {
    capabilities.weights.push_back(
        {encoding, ActQuant::kInt8PerRow, backend.supports_weight(encoding, ActQuant::kInt8PerRow)});
  }
  capabilities.weights.push_back({WeightEncoding::kInt8PerRow, ActQuant::kInt8Static,
                                  backend.supports_weight(WeightEncoding::kInt8PerRow, ActQuant::kInt8Static)});
  for (const ActQuant act : {ActQuant::kFp8PerRow, ActQuant::kFp8Static, ActQuant::kNone}) {
    capabilities.weights.push_back(
        {WeightEncoding::kFp8PerRow, act, backend.supports_weight(WeightEncoding::kFp8PerRow, act)});
  }
  for (const ActQuant act : {ActQuant::kFp8PerGroup128, ActQuant::kFp8PerGroup128E8m0, ActQuant::kNone}) {
    capabilities.weights.push_back(
        {WeightEncoding::kFp8Group128, act, backend.supports_weight(WeightEncoding::kFp8Group128, act)});
  }
  for (const ActQuant act : {ActQuant::kNvfp4Static, ActQuant::kNone}) {
    capabilities.weights.push_back(
        {WeightEncoding::kNvfp4Group16, act, backend.supports_weight(WeightEncoding::kNvfp4Group16, act)});
  }
  return capabilities;
}

std::string weight_support_name(WeightEncoding encoding, ActQuant act) {
  std::string name(to_string(encoding));
  if (act == ActQuant::kInt8PerRow) name += "-w8a8";
  if (act == ActQuant::kFp8PerGroup128E8m0) name += "-ue8m0";
  if (act == ActQuant::kInt8Static || act == ActQuant::kFp8Static) name += "-static";
  if (act == ActQuant::kNone && has_fp8_codes(encoding)) name += "-w8a16";
  if (act == ActQuant::kNone && encoding == WeightEncoding::kNvfp4Group16) name += "-w4a16";
  return name;
}

}  // namespace secondsource
