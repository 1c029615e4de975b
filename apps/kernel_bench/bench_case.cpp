#include "bench_case.h"

#include <fmt/format.h>

#include <algorithm>

#include "bundle/model_config.h"
#include "bundle/named_shape.h"
#include "core/check.h"

namespace secondsource::kernel_bench {
namespace {

Result<ModelConfig> find_model(const std::string& name) {
  SS_TRY(const NamedShape shape, find_named_shape(name));
  return parse_model_config(shape.config_json, name);
}

Axis rows_axis(const std::vector<std::int32_t>& rows) {
  Axis axis;
  for (const std::int32_t m : rows) axis.push_back({{"m", m}});
  return axis;
}

std::int32_t size_32(const BenchCase& row, std::string_view name) {
  return static_cast<std::int32_t>(row.size(name));
}

/// Decode of one sequence at three context lengths, decode of 16 sequences, and prefill of 512 tokens without and with
/// a cache before them.
Axis sequences_axis() {
  return {{{"seqs", 1}, {"q", 1}, {"kv", 1024}},  {{"seqs", 1}, {"q", 1}, {"kv", 8192}},
          {{"seqs", 1}, {"q", 1}, {"kv", 32768}}, {{"seqs", 16}, {"q", 1}, {"kv", 1024}},
          {{"seqs", 1}, {"q", 512}, {"kv", 512}}, {{"seqs", 1}, {"q", 512}, {"kv", 4096}}};
}

}  // namespace

const std::vector<ProductVariant>& all_variants() {
  static const std::vector<ProductVariant> variants{
      {"bf16", WeightEncoding::kBf16, ActQuant::kNone},
      {"f16", WeightEncoding::kF16, ActQuant::kNone},
      {"int8", WeightEncoding::kInt8PerRow, ActQuant::kNone},
      {"int8-g32", WeightEncoding::kInt8Group32, ActQuant::kNone},
      {"int4", WeightEncoding::kInt4Group32, ActQuant::kNone},
      {"int4-zp", WeightEncoding::kInt4Group32Zero, ActQuant::kNone},
      {"mxfp4", WeightEncoding::kMxfp4Group32, ActQuant::kNone},
      {"nvfp4-w4a16", WeightEncoding::kNvfp4Group16, ActQuant::kNone},
      {"q4_k", WeightEncoding::kQ4K, ActQuant::kNone},
      {"q5_k", WeightEncoding::kQ5K, ActQuant::kNone},
      {"q6_k", WeightEncoding::kQ6K, ActQuant::kNone},
      {"q2_k", WeightEncoding::kQ2K, ActQuant::kNone},
      {"q3_k", WeightEncoding::kQ3K, ActQuant::kNone},
      {"iq4_xs", WeightEncoding::kIq4Xs, ActQuant::kNone},
      {"q4_1", WeightEncoding::kQ41, ActQuant::kNone},
      {"q5_0", WeightEncoding::kQ50, ActQuant::kNone},
      {"q5_1", WeightEncoding::kQ51, ActQuant::kNone},
      {"iq4_nl", WeightEncoding::kIq4Nl, ActQuant::kNone},
      {"int8-w8a8", WeightEncoding::kInt8PerRow, ActQuant::kInt8PerRow},
      {"int8-g32-w8a8", WeightEncoding::kInt8Group32, ActQuant::kInt8PerRow},
      {"int4-w8a8", WeightEncoding::kInt4Group32, ActQuant::kInt8PerRow},
      {"fp8", WeightEncoding::kFp8PerRow, ActQuant::kFp8PerRow},
      {"fp8-g128", WeightEncoding::kFp8Group128, ActQuant::kFp8PerGroup128},
      {"nvfp4", WeightEncoding::kNvfp4Group16, ActQuant::kNvfp4Static}};
  return variants;
}

const ProductVariant& variant_named(std::string_view name) {
  const auto found = std::ranges::find(all_variants(), name, &ProductVariant::name);
  SS_CHECK(found != all_variants().end(), fmt::format("no variant is named {}", name).c_str());
  return *found;
}

Result<BenchAxes> matmul_axes(const std::vector<std::string>& models, const std::vector<std::int32_t>& rows,
                              bool with_heads) {
  Axis weights;
  const auto add = [&weights](std::int64_t k, std::int64_t n) { weights.push_back({{"k", k}, {"n", n}}); };
  for (const std::string& name : models) {
    SS_TRY(const ModelConfig model, find_model(name));
    add(model.dim, model.q_dim() + 2 * model.kv_dim());  // queries, keys and values
    add(model.q_dim(), model.dim);
    if (model.n_experts <= 1) {  // the others are in mixture_axes()
      add(model.dim, 2 * model.ffn_dim);
      add(model.ffn_dim, model.dim);
    }
    if (with_heads) add(model.dim, model.vocab_size);
  }
  return BenchAxes{.operation = "matmul",
                   .target = {},
                   .dtypes = {},
                   .axes = {weights, rows_axis(rows)},
                   .named_sizes = {"m", "k", "n"}};
}

Result<BenchAxes> mixture_axes(const std::vector<std::string>& models, const std::vector<std::int32_t>& rows) {
  Axis products;
  for (const std::string& name : models) {
    SS_TRY(const ModelConfig model, find_model(name));
    if (model.n_experts <= 1) continue;
    const auto add = [&](bool is_second, std::int64_t k, std::int64_t n) {
      products.push_back({{"experts", model.n_experts},
                          {"top", model.n_experts_per_token},
                          {"k", k},
                          {"n", n},
                          {"is_second", is_second ? 1 : 0}});
    };
    add(false, model.dim, 2 * model.expert_ffn_dim);
    add(true, model.expert_ffn_dim, model.dim);
  }
  return BenchAxes{.operation = "mixture",
                   .target = {},
                   .dtypes = {},
                   .axes = {products, rows_axis(rows)},
                   .named_sizes = {"m", "experts", "top", "k", "n"}};
}

Result<BenchAxes> attention_axes(const std::vector<std::string>& models) {
  Axis heads;
  for (const std::string& name : models) {
    SS_TRY(const ModelConfig model, find_model(name));
    heads.push_back({{"heads", model.n_heads}, {"kv_heads", model.n_kv_heads}, {"dim", model.head_dim}});
  }
  return BenchAxes{.operation = "attention",
                   .target = {},
                   .dtypes = {},
                   .axes = {heads, sequences_axis()},
                   .named_sizes = {"seqs", "q", "kv", "heads", "kv_heads", "dim"}};
}

MatmulShape matmul_shape(const BenchCase& row) {
  return {.k = row.size("k"), .n = row.size("n")};
}

MixtureShape mixture_shape(const BenchCase& row) {
  return {.is_second = row.size("is_second") != 0,
          .k = row.size("k"),
          .n = row.size("n"),
          .n_experts = size_32(row, "experts"),
          .n_top = size_32(row, "top")};
}

AttentionShape attention_shape(const BenchCase& row) {
  return {.heads = {size_32(row, "heads"), size_32(row, "kv_heads"), size_32(row, "dim")},
          .n_seqs = size_32(row, "seqs"),
          .n_queries = size_32(row, "q"),
          .n_cached = size_32(row, "kv")};
}

std::int32_t row_count(const BenchCase& row) {
  return size_32(row, "m");
}

}  // namespace secondsource::kernel_bench
