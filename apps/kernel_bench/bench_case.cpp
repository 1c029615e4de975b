#include "bench_case.h"

#include <algorithm>

#include "bundle/model_config.h"
#include "bundle/named_shape.h"

namespace secondsource {
namespace {

Result<ModelConfig> find_model(const std::string& name) {
  SS_TRY(const NamedShape shape, find_named_shape(name));
  return parse_model_config(shape.config_json, name);
}

}  // namespace

const std::vector<ProductVariant>& all_variants() {
  static const std::vector<ProductVariant> variants{
      {"bf16", WeightEncoding::kBf16, ActQuant::kNone},
      {"f16", WeightEncoding::kF16, ActQuant::kNone},
      {"int8", WeightEncoding::kInt8PerRow, ActQuant::kNone},
      {"int8-g32", WeightEncoding::kInt8Group32, ActQuant::kNone},
      {"int4", WeightEncoding::kInt4Group32, ActQuant::kNone},
      {"int8-w8a8", WeightEncoding::kInt8PerRow, ActQuant::kInt8PerRow},
      {"int8-g32-w8a8", WeightEncoding::kInt8Group32, ActQuant::kInt8PerRow}};
  return variants;
}

Result<std::vector<MatmulShape>> matmul_shapes(const std::vector<std::string>& models, bool with_heads) {
  std::vector<MatmulShape> shapes;
  const auto add = [&shapes](const MatmulShape& shape) {
    const bool known = std::ranges::any_of(
        shapes, [&shape](const MatmulShape& other) { return other.k == shape.k && other.n == shape.n; });
    if (!known) shapes.push_back(shape);
  };
  for (const std::string& name : models) {
    SS_TRY(const ModelConfig model, find_model(name));
    add({name, "qkv", model.dim, model.q_dim() + 2 * model.kv_dim()});
    add({name, "o", model.q_dim(), model.dim});
    if (model.n_experts <= 1) {  // else mixture_shapes()
      add({name, "gate_up", model.dim, 2 * model.ffn_dim});
      add({name, "down", model.ffn_dim, model.dim});
    }
    if (with_heads) add({name, "head", model.dim, model.vocab_size});
  }
  return shapes;
}

Result<std::vector<MixtureShape>> mixture_shapes(const std::vector<std::string>& models) {
  std::vector<MixtureShape> shapes;
  for (const std::string& name : models) {
    SS_TRY(const ModelConfig model, find_model(name));
    if (model.n_experts <= 1) continue;
    const auto n_experts = static_cast<std::int32_t>(model.n_experts);
    const auto n_top = static_cast<std::int32_t>(model.n_experts_per_token);
    shapes.push_back({name, false, model.dim, 2 * model.ffn_dim, n_experts, n_top});
    shapes.push_back({name, true, model.ffn_dim, model.dim, n_experts, n_top});
  }
  return shapes;
}

Result<std::vector<AttentionShape>> attention_shapes(const std::vector<std::string>& models) {
  std::vector<AttentionShape> shapes;
  for (const std::string& name : models) {
    SS_TRY(const ModelConfig model, find_model(name));
    const HeadShape heads{static_cast<std::int32_t>(model.n_heads), static_cast<std::int32_t>(model.n_kv_heads),
                          static_cast<std::int32_t>(model.head_dim)};
    shapes.push_back({name, heads, 1, 1, 1024});
    shapes.push_back({name, heads, 1, 1, 8192});
    shapes.push_back({name, heads, 1, 1, 32768});
    shapes.push_back({name, heads, 16, 1, 1024});
    shapes.push_back({name, heads, 1, 512, 512});
    shapes.push_back({name, heads, 1, 512, 4096});
  }
  return shapes;
}

}  // namespace secondsource
