#include "backend/capabilities.h"

#include <array>

namespace secondsource {
namespace {

/// The values that the sample operations below use.
constexpr ValueId kWide{0};     // [T, 192]: q, k and v of one head of 64
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

std::vector<Op> sample_ops() {
  const HeadShape heads{.n_heads = 1, .n_kv_heads = 1, .head_dim = 64};
  const WeightId weight{0};
  return {Embed{.table = weight, .out = kNarrow},
          RmsNorm{.x = kNarrow, .weight = weight, .out = kSecond},
          Matmul{.x = kNarrow, .weight = weight, .out = kSecond},
          RopeAppend{.qkv = kWide, .q_out = kNarrow, .heads = heads, .rope = RopeId{0}},
          Attention{.q = kNarrow, .out = kSecond, .heads = heads, .scale = 0.125F},
          SelectRows{.x = kNarrow, .out = kLogits},
          Sample{.logits = kLogits, .n_top = 1},
          Route{.x = kNarrow, .gate = weight, .n_top = 2, .expert = kExpert, .weight = kShare},
          GroupedMatmul{.x = kNarrow, .expert = kExpert, .weights = weight, .out = kExperts, .n_top = 2},
          AllReduce{.x = kNarrow}};
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
        WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32}) {
    capabilities.weights.push_back({encoding, ActQuant::kNone, backend.supports_weight(encoding, ActQuant::kNone)});
  }
  for (const WeightEncoding encoding : {WeightEncoding::kInt8PerRow, WeightEncoding::kInt8Group32}) {
    capabilities.weights.push_back(
        {encoding, ActQuant::kInt8PerRow, backend.supports_weight(encoding, ActQuant::kInt8PerRow)});
  }
  return capabilities;
}

std::string weight_support_name(WeightEncoding encoding, ActQuant act) {
  std::string name(to_string(encoding));
  if (act == ActQuant::kInt8PerRow) name += "-w8a8";
  if (act == ActQuant::kFp8PerRow) name += "-fp8";
  return name;
}

}  // namespace secondsource
