#include "engine/model_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/check_graph.h"
#include "bundle/model_tensors.h"
#include "bundle/safetensors_writer.h"
#include "bundle/tensor_store.h"
#include "bundle/variant.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "engine/model_graph.h"
#include "fake_backend.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

ModelConfig tiny_config(bool tied, int hidden_size = 32, int vocab_size = 64) {
  const std::string text = fmt::format(
      R"({{"architectures": ["LlamaForCausalLM"], "hidden_size": {}, "intermediate_size": 48,
      "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": {},
      "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "tie_word_embeddings": {}}})",
      hidden_size, vocab_size, tied);
  auto config = parse_model_config(text, "test");
  if (!config) FAIL(config.error().message);
  return *config;
}

/// The model's tensors, all zero, in BF16.
TensorStore zero_tensors(const test::ScratchFolder& scratch, const ModelConfig& config) {
  std::vector<TensorToWrite> tensors;
  for (const TensorSpec& spec : model_tensors(config)) tensors.push_back({spec.name, DType::kBf16, spec.shape});
  auto writer = SafetensorsWriter::create(scratch.path() / "model.safetensors", tensors);
  REQUIRE_OK(writer);
  REQUIRE_OK(writer->write(std::vector<std::byte>(static_cast<std::size_t>(n_parameters(config)) * 2)));
  REQUIRE_OK(writer->finish());
  auto store = TensorStore::open(scratch.path());
  REQUIRE_OK(store);
  return std::move(store).value();
}

TEST_CASE("a tied head is the embedding's own weight where the variant stores both alike, and only there") {
  const auto [variant_name, tied, one_weight] = GENERATE(table<std::string, bool, bool>({{"f32", true, true},
                                                                                         {"bf16", true, true},
                                                                                         {"f16", true, true},
                                                                                         {"int8", true, false},
                                                                                         {"int8-g32", true, false},
                                                                                         {"int4", true, false},
                                                                                         {"int8-w8a8", true, false},
                                                                                         {"bf16", false, false}}));
  CAPTURE(variant_name, tied);
  const test::ScratchFolder scratch;
  const ModelConfig config = tiny_config(tied);
  const TensorStore tensors = zero_tensors(scratch, config);
  test::FakeLog log;
  test::FakeBackend backend(log);
  SilentProgress progress;
  const auto weights = prepare_model_weights(backend, config, tensors, variant_from_name(variant_name).value(), "test",
                                             progress, InterruptFlag());
  REQUIRE_OK(weights);
  CHECK((weights->head == weights->embedding) == one_weight);
}

/// Keeps the last task, its number of steps and how many of them are done, and requests an interrupt after some weights.
class LastTask final : public Progress {
 public:
  explicit LastTask(int n_weights_before_interrupt = -1) : n_weights_before_interrupt_(n_weights_before_interrupt) {}
  void begin(std::string_view task, std::int64_t n_steps) override {
    name = task;
    n_total = n_steps;
  }
  void update(std::int64_t n_steps_done) override {
    n_done = n_steps_done;
    if (++n_updates == n_weights_before_interrupt_) interrupt.request();
  }
  void note(std::string_view) override {}

  std::string name;
  std::int64_t n_total = 0;
  std::int64_t n_done = 0;
  int n_updates = 0;  ///< one for each weight
  InterruptFlag interrupt;

 private:
  int n_weights_before_interrupt_;
};

TEST_CASE("the progress ends at its total, also where the embedding is prepared once more as the head") {
  const auto [variant_name, tied, n_millions] = GENERATE(
      table<std::string, bool, int>({{"bf16", true, 4}, {"int8", true, 8}, {"bf16", false, 8}, {"int8", false, 8}}));
  CAPTURE(variant_name, tied);
  const test::ScratchFolder scratch;
  const ModelConfig config = tiny_config(tied, 512, 8000);  // an embedding of 4.1 million elements
  test::FakeLog log;
  test::FakeBackend backend(log);
  LastTask progress;
  REQUIRE_OK(prepare_model_weights(backend, config, zero_tensors(scratch, config),
                                   variant_from_name(variant_name).value(), "test", progress, progress.interrupt));
  CHECK(progress.name == "preparing " + variant_name + " weights (million parameters)");
  CHECK(progress.n_total / 4 * 4 == n_millions);
  CHECK(progress.n_done == progress.n_total);
}

TEST_CASE("an interrupt is seen before the next weight") {
  const test::ScratchFolder scratch;
  const ModelConfig config = tiny_config(false);
  test::FakeLog log;
  test::FakeBackend backend(log);
  LastTask progress(2);
  CHECK_ERROR(prepare_model_weights(backend, config, zero_tensors(scratch, config), variant_from_name("bf16").value(),
                                    "test", progress, progress.interrupt),
              ErrorCode::kInterrupted, "interrupted");
  CHECK(progress.n_updates == 2);
}

/// Writes the tensors, whose bytes are concatenated in `bytes`, as the weights of a published variant, and opens the file.
TensorStore published_store(const test::ScratchFolder& scratch, const std::vector<TensorToWrite>& tensors,
                            std::span<const std::byte> bytes, const std::string& variant) {
  auto writer =
      SafetensorsWriter::create(scratch.path() / "model.safetensors", tensors, {{"published_variant", variant}});
  REQUIRE_OK(writer);
  REQUIRE_OK(writer->write(bytes));
  REQUIRE_OK(writer->finish());
  auto store = TensorStore::open(scratch.path());
  REQUIRE_OK(store);
  return std::move(store).value();
}

/// Three layers in Q4_K with two matrices in Q6_K: v_proj of the first layer, as in half of the layers of llama.cpp's Q4_K_M, and
/// k_proj of the third, as in llama.cpp's files of Mixtral-8x7B.
struct MixedModel {
  ModelConfig config;
  TensorStore tensors;
  double matrix_bytes = 0;
};

MixedModel mixed_model(const test::ScratchFolder& scratch) {
  constexpr std::int64_t kBlockCols = 256;
  const std::string text = R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 256, "intermediate_size": 512,
      "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64,
      "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "attention_bias": true})";
  auto config = parse_model_config(text, "test");
  REQUIRE_OK(config);
  MixedModel model{*config, {}};
  std::vector<TensorToWrite> written;
  std::int64_t n_bytes = 0;
  for (const TensorSpec& spec : model_tensors(*config)) {
    if (spec.shape.rank() == 1) {
      written.push_back({spec.name, DType::kF32, spec.shape});
      n_bytes += 4 * spec.shape.extent(0);
      continue;
    }
    const bool is_q6_k =
        spec.name == "model.layers.0.self_attn.v_proj.weight" || spec.name == "model.layers.2.self_attn.k_proj.weight";
    const std::int64_t row_bytes = spec.shape.extent(1) / kBlockCols * (is_q6_k ? 210 : 144);
    const Shape shape{spec.shape.extent(0), row_bytes};
    written.push_back({spec.name + (is_q6_k ? ".q6_k" : ".q4_k"), DType::kU8, shape});
    n_bytes += *shape.n_elements();
    model.matrix_bytes += static_cast<double>(*shape.n_elements());
  }
  const std::vector<std::byte> bytes(static_cast<std::size_t>(n_bytes));
  model.tensors = published_store(scratch, written, bytes, "gguf-q4_k");
  return model;
}

TEST_CASE("values or keys of another encoding than queries are a weight and a product of their own") {
  const test::ScratchFolder scratch;
  const MixedModel model = mixed_model(scratch);
  test::FakeLog log;
  test::FakeBackend backend(log);
  SilentProgress progress;
  const auto weights = prepare_model_weights(backend, model.config, model.tensors,
                                             variant_from_name("gguf-q4_k").value(), "test", progress, InterruptFlag());
  REQUIRE_OK(weights);
  const auto extent = [&](WeightId id) { return weights->extents.at(id); };

  const LayerWeights& apart = weights->layers[0];
  CHECK(extent(apart.qkv).encoding == WeightEncoding::kQ4K);
  CHECK(extent(apart.qkv).n_rows == 256 + 128);
  CHECK_FALSE(apart.k.has_value());
  REQUIRE(apart.v.has_value());
  CHECK(extent(*apart.v).encoding == WeightEncoding::kQ6K);
  CHECK(extent(*apart.v).n_rows == 128);
  CHECK(extent(*apart.v).bytes == 128 * 210);
  REQUIRE(apart.v_bias.has_value());
  CHECK(extent(*apart.qkv_bias).bytes == 4 * (256 + 128));
  CHECK(extent(*apart.v_bias).bytes == 4 * 128);

  const LayerWeights& joined = weights->layers[1];
  CHECK(extent(joined.qkv).encoding == WeightEncoding::kQ4K);
  CHECK(extent(joined.qkv).n_rows == 256 + 2 * 128);
  CHECK(extent(*joined.qkv_bias).bytes == 4 * (256 + 2 * 128));
  CHECK_FALSE(joined.k.has_value());
  CHECK_FALSE(joined.v.has_value());
  CHECK_FALSE(joined.v_bias.has_value());

  // If k_proj and q_proj differ in encoding, q, k and v all stay separate.
  const LayerWeights& mixed = weights->layers[2];
  CHECK(extent(mixed.qkv).encoding == WeightEncoding::kQ4K);
  CHECK(extent(mixed.qkv).n_rows == 256);
  CHECK(extent(*mixed.qkv_bias).bytes == 4 * 256);
  REQUIRE(mixed.k.has_value());
  CHECK(extent(*mixed.k).encoding == WeightEncoding::kQ6K);
  CHECK(extent(*mixed.k).n_rows == 128);
  REQUIRE(mixed.k_bias.has_value());
  CHECK(extent(*mixed.k_bias).bytes == 4 * 128);
  REQUIRE(mixed.v.has_value());
  CHECK(extent(*mixed.v).encoding == WeightEncoding::kQ4K);
  CHECK(extent(*mixed.v).n_rows == 128);
  CHECK(mixed.v_bias.has_value());

  // The matrices take exactly the stored bytes.
  double bytes = 0;
  for (const auto& [id, one] : weights->extents) {
    if (one.n_rows > 1) bytes += one.bytes;
  }
  CHECK(bytes == model.matrix_bytes);

  const StepGraph graph = build_step_graph(model.config, *weights, {});
  const auto has = [&](const char* label) { return std::ranges::count(graph.labels, label) == 1; };
  CHECK(has("layers.0.attention.qk"));
  CHECK(has("layers.0.attention.v"));
  CHECK_FALSE(has("layers.0.attention.qkv"));
  CHECK(has("layers.1.attention.qkv"));
  CHECK_FALSE(has("layers.1.attention.v"));
  CHECK(has("layers.2.attention.q"));
  CHECK(has("layers.2.attention.k"));
  CHECK(has("layers.2.attention.v"));
}

/// The published variants of these tests, whose activations have stored scales.
const Variant& static_variant(bool is_int8) {
  static const Variant kInt8 = variant_from_name("compressed-tensors-int8-static").value();
  static const Variant kFp8 = variant_from_name("modelopt-fp8-static").value();
  return is_int8 ? kInt8 : kFp8;
}

/// The matrices of a variant with static activation scales. `scales` holds input scales by tensor, with 0.25 as the default;
/// a tensor with scale 0 is in BF16, as the head is.
TensorStore static_tensors(const test::ScratchFolder& scratch, const ModelConfig& config, const Variant& variant,
                           const std::map<std::string, float>& scales) {
  std::vector<TensorToWrite> written;
  std::vector<std::byte> bytes;
  for (const TensorSpec& spec : model_tensors(config)) {
    const auto found = scales.find(spec.name);
    const float scale = found == scales.end() ? 0.25F : found->second;
    const bool has_codes = spec.role == TensorRole::kMatmul && spec.name != kHeadTensor && scale > 0.0F;
    if (!has_codes) {
      written.push_back({spec.name, DType::kBf16, spec.shape});
      bytes.resize(bytes.size() + 2 * static_cast<std::size_t>(*spec.shape.n_elements()));
      continue;
    }
    const std::int64_t n_rows = spec.shape.extent(0);
    if (variant.matmul == WeightEncoding::kInt8PerRow) {
      written.push_back({spec.name + ".codes", DType::kI8, spec.shape});
    } else {
      written.push_back({spec.name + ".codes", DType::kU8, spec.shape, "F8_E4M3"});
    }
    written.push_back({spec.name + ".scales", DType::kF32, {n_rows, 1}});
    written.push_back({spec.name + ".input_scale", DType::kF32, {1}});
    bytes.resize(bytes.size() + static_cast<std::size_t>(*spec.shape.n_elements() + 4 * n_rows));
    const auto of_scale = std::as_bytes(std::span(&scale, 1));
    bytes.insert(bytes.end(), of_scale.begin(), of_scale.end());
  }
  return published_store(scratch, written, bytes, variant.name);
}

TEST_CASE(
    "products of static FP8 and INT8 have the stored scale of their inputs, and projections with another one are not joined") {
  const test::ScratchFolder scratch;
  const std::string text = R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
      "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 64,
      "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "tie_word_embeddings": false})";
  const auto config = parse_model_config(text, "test");
  REQUIRE_OK(config);
  // In the first layer, all matmuls that read the same input have one scale for it; in the second, v_proj has its own.
  std::map<std::string, float> stored = {{"model.layers.1.self_attn.v_proj.weight", 0.5F},
                                         {"model.layers.0.self_attn.o_proj.weight", 0.125F}};
  const Variant& variant = static_variant(GENERATE(false, true));
  CAPTURE(variant.name);
  const TensorStore tensors = static_tensors(scratch, *config, variant, stored);
  test::FakeLog log;
  test::FakeBackend backend(log);
  SilentProgress progress;
  const auto weights = prepare_model_weights(backend, *config, tensors, variant, "test", progress, InterruptFlag());
  REQUIRE_OK(weights);
  CHECK_FALSE(weights->layers[0].v.has_value());
  CHECK(weights->layers[1].v.has_value());
  const StepGraph graph = build_step_graph(*config, *weights, {.act = variant.activations});
  REQUIRE_OK(check_graph(graph));
  std::map<std::string, float> scales;
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const auto* const product = std::get_if<Matmul>(&graph.ops[i]);
    if (product == nullptr) continue;
    scales[graph.labels[i]] = product->act_scale;
    CHECK(product->act == (graph.labels[i] == "head" ? ActQuant::kNone : variant.activations));
  }
  CHECK(scales == std::map<std::string, float>{{"layers.0.attention.qkv", 0.25F},
                                               {"layers.0.attention.out", 0.125F},
                                               {"layers.0.ffn.gate_up", 0.25F},
                                               {"layers.0.ffn.down", 0.25F},
                                               {"layers.1.attention.qk", 0.25F},
                                               {"layers.1.attention.v", 0.5F},
                                               {"layers.1.attention.out", 0.25F},
                                               {"layers.1.ffn.gate_up", 0.25F},
                                               {"layers.1.ffn.down", 0.25F},
                                               {"head", 0.0F}});
  // In any other variant the weights are used by value, and no activations are quantized.
  const auto plain = prepare_model_weights(backend, *config, tensors, variant_from_name("bf16").value(), "test",
                                           progress, InterruptFlag());
  REQUIRE_OK(plain);
  CHECK(plain->input_scales.empty());

  const test::ScratchFolder other;
  stored["model.layers.1.mlp.up_proj.weight"] = 0.75F;
  const TensorStore different = static_tensors(other, *config, variant, stored);
  CHECK_ERROR(prepare_model_weights(backend, *config, different, variant, "test", progress, InterruptFlag()),
              ErrorCode::kUnsupported, "expected one scale of inputs, found 0.25 and 0.75");
}

TEST_CASE(
    "experts have the largest of their scales of inputs, and are given by their values where one is unquantized") {
  const std::string text = R"({"architectures": ["MixtralForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
      "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "num_local_experts": 3,
      "num_experts_per_tok": 2, "vocab_size": 64, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
      "tie_word_embeddings": false})";
  const auto config = parse_model_config(text, "test");
  REQUIRE_OK(config);
  const Variant& variant = static_variant(GENERATE(false, true));
  CAPTURE(variant.name);
  const auto name = [](int expert, const char* matrix) {
    return fmt::format("model.layers.0.block_sparse_moe.experts.{}.{}.weight", expert, matrix);
  };
  const auto check = [&](const std::map<std::string, float>& scales, ActQuant act, float scale) {
    const test::ScratchFolder scratch;
    const TensorStore tensors = static_tensors(scratch, *config, variant, scales);
    test::FakeLog log;
    test::FakeBackend backend(log);
    SilentProgress progress;
    const auto weights = prepare_model_weights(backend, *config, tensors, variant, "test", progress, InterruptFlag());
    REQUIRE_OK(weights);
    const StepGraph graph = build_step_graph(*config, *weights, {.act = variant.activations});
    REQUIRE_OK(check_graph(graph));
    std::vector<std::pair<ActQuant, float>> products;
    for (const Op& op : graph.ops) {
      const auto* const product = std::get_if<GroupedMatmul>(&op);
      if (product != nullptr) products.emplace_back(product->act, product->act_scale);
    }
    CHECK(products == std::vector<std::pair<ActQuant, float>>{{act, scale}, {variant.activations, 0.25F}});
  };
  check({{name(1, "w3"), 0.5F}, {name(2, "w1"), 0.125F}}, variant.activations, 0.5F);
  for (const int expert : {0, 1, 2}) {
    for (const char* const matrix : {"w1", "w3"}) {
      CAPTURE(expert, matrix);
      check({{name(expert, matrix), 0.0F}, {name((expert + 1) % 3, "w1"), 0.5F}}, ActQuant::kNone, 0.0F);
    }
  }
}

/// The order of columns i * step modulo n: column i of the matrix is that column of the codes. It is a permutation if `step` and
/// n have no common factor.
std::vector<std::int32_t> order_with(std::int32_t step, std::int64_t n) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) * step % n);
  }
  return order;
}

/// A model in INT4 with act order (reordered columns). `steps` holds the steps of the tensors' orders, with 5 as the default; 1 is
/// the identity.
TensorStore act_order_tensors(const test::ScratchFolder& scratch, const ModelConfig& config,
                              const std::map<std::string, std::int32_t>& steps) {
  std::vector<TensorToWrite> written;
  std::vector<std::byte> bytes;
  const auto add = [&](std::string name, DType dtype, const Shape& shape, std::span<const std::byte> data = {}) {
    const std::size_t n_bytes = static_cast<std::size_t>(*shape.n_elements()) * size_of(dtype);
    written.push_back({std::move(name), dtype, shape});
    bytes.insert(bytes.end(), data.begin(), data.end());
    bytes.resize(bytes.size() + n_bytes - data.size());
  };
  for (const TensorSpec& spec : model_tensors(config)) {
    if (spec.role != TensorRole::kMatmul) {
      add(spec.name, DType::kBf16, spec.shape);
      continue;
    }
    const std::int64_t n_rows = spec.shape.extent(0);
    const std::int64_t n_cols = spec.shape.extent(1);
    add(spec.name + ".codes", DType::kU8, {n_rows, n_cols / 2});
    add(spec.name + ".scales", DType::kF16, {n_rows, n_cols / 32});
    const auto found = steps.find(spec.name);
    const std::vector<std::int32_t> order = order_with(found == steps.end() ? 5 : found->second, n_cols);
    add(spec.name + ".columns", DType::kI32, {n_cols}, std::as_bytes(std::span(order)));
  }
  return published_store(scratch, written, bytes, "gptq-int4-g32");
}

TEST_CASE("inputs of codes in act order are brought to that order, and what has another one is not joined") {
  const test::ScratchFolder scratch;
  const std::string text = R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
      "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 64,
      "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "tie_word_embeddings": false})";
  const auto config = parse_model_config(text, "test");
  REQUIRE_OK(config);
  // In the first layer, all matmuls that read the same input have one order. In the second, v_proj has its own; in the third,
  // k_proj and up_proj have their own, and o_proj has none.
  const TensorStore tensors = act_order_tensors(scratch, *config,
                                                {{"model.layers.1.self_attn.v_proj.weight", 7},
                                                 {"model.layers.2.self_attn.k_proj.weight", 7},
                                                 {"model.layers.2.mlp.up_proj.weight", 7},
                                                 {"model.layers.2.self_attn.o_proj.weight", 1},
                                                 {"model.layers.0.self_attn.o_proj.weight", 7},
                                                 {"model.layers.0.mlp.down_proj.weight", 11}});
  test::FakeLog log;
  test::FakeBackend backend(log);
  SilentProgress progress;
  const auto weights = prepare_model_weights(backend, *config, tensors, variant_from_name("gptq-int4-g32").value(),
                                             "test", progress, InterruptFlag());
  REQUIRE_OK(weights);
  const auto order_of = [&](WeightId id) {
    const auto found = weights->column_orders.find(id);
    return found == weights->column_orders.end() ? std::vector<std::int32_t>() : found->second;
  };
  const LayerWeights& first = weights->layers[0];
  CHECK(weights->extents.at(first.qkv).n_rows == 64 + 2 * 32);
  CHECK(order_of(first.qkv) == order_with(5, 64));
  CHECK(order_of(first.attention_out) == order_with(7, 64));
  CHECK(order_of(first.gate_up) == order_with(5, 64));
  CHECK(order_of(first.down) == order_with(11, 96));
  const LayerWeights& second = weights->layers[1];
  CHECK(weights->extents.at(second.qkv).n_rows == 64 + 32);
  CHECK_FALSE(second.k.has_value());
  REQUIRE(second.v.has_value());
  CHECK(order_of(*second.v) == order_with(7, 64));
  const LayerWeights& third = weights->layers[2];
  CHECK(weights->extents.at(third.qkv).n_rows == 64);
  REQUIRE(third.k.has_value());
  CHECK(order_of(*third.k) == order_with(7, 64));
  REQUIRE(third.v.has_value());
  CHECK(order_of(*third.v) == order_with(5, 64));
  CHECK(order_of(third.attention_out).empty());
  // Gates and ups share one matmul; if their orders differ, their weights are used by value.
  CHECK(weights->extents.at(third.gate_up).encoding == WeightEncoding::kF32);
  CHECK(order_of(third.gate_up).empty());
  CHECK(weights->extents.at(first.gate_up).encoding == WeightEncoding::kInt4Group32);
  CHECK(order_of(weights->head) == order_with(5, 64));

  const StepGraph graph = build_step_graph(*config, *weights, {});
  REQUIRE_OK(check_graph(graph));
  CHECK(graph.column_lists.size() == 4);  // 64 columns with steps of 5 and 7, 96 columns with 11 and 5
  std::vector<std::string> ordered;
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const auto* const select = std::get_if<SelectColumns>(&graph.ops[i]);
    if (select == nullptr) continue;
    const auto* const product = std::get_if<Matmul>(&graph.ops[i + 1]);
    REQUIRE(product != nullptr);
    CAPTURE(graph.labels[i]);
    CHECK(graph.labels[i] == graph.labels[i + 1] + "_columns");
    CHECK(product->x == select->out);
    CHECK(graph.column_lists[static_cast<std::size_t>(index_of(select->columns))] == order_of(product->weight));
    ordered.push_back(graph.labels[i + 1]);
  }
  CHECK(ordered == std::vector<std::string>{"layers.0.attention.qkv", "layers.0.attention.out", "layers.0.ffn.gate_up",
                                            "layers.0.ffn.down", "layers.1.attention.qk", "layers.1.attention.v",
                                            "layers.1.attention.out", "layers.1.ffn.gate_up", "layers.1.ffn.down",
                                            "layers.2.attention.q", "layers.2.attention.k", "layers.2.attention.v",
                                            "layers.2.ffn.down", "head"});

  // In any other variant the weights are used by value, in the model's order.
  const auto plain = prepare_model_weights(backend, *config, tensors, variant_from_name("bf16").value(), "test",
                                           progress, InterruptFlag());
  REQUIRE_OK(plain);
  CHECK(plain->column_orders.empty());
  CHECK(build_step_graph(*config, *plain, {}).column_lists.empty());
}

TEST_CASE(
    "experts in act order keep their codes, each in its own order, unless its gate and its ups have different ones") {
  const test::ScratchFolder scratch;
  const std::string text = R"({"architectures": ["MixtralForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
      "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1, "num_local_experts": 3,
      "num_experts_per_tok": 2, "vocab_size": 64, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
      "tie_word_embeddings": false})";
  const auto config = parse_model_config(text, "test");
  REQUIRE_OK(config);
  const auto name = [](int layer, int expert, const char* matrix) {
    return fmt::format("model.layers.{}.block_sparse_moe.experts.{}.{}.weight", layer, expert, matrix);
  };
  // All experts of the first layer have the same order. In the second, one expert has its own order and one has none; in the
  // third, the gates of one expert have another order than its ups.
  const TensorStore tensors = act_order_tensors(scratch, *config,
                                                {{name(1, 0, "w1"), 1},
                                                 {name(1, 0, "w3"), 1},
                                                 {name(1, 2, "w1"), 7},
                                                 {name(1, 2, "w3"), 7},
                                                 {name(1, 1, "w2"), 11},
                                                 {name(2, 1, "w1"), 7},
                                                 {name(2, 0, "w2"), 1},
                                                 {name(2, 1, "w2"), 1},
                                                 {name(2, 2, "w2"), 1}});
  test::FakeLog log;
  test::FakeBackend backend(log);
  SilentProgress progress;
  const Variant variant = variant_from_name("gptq-int4-g32").value();
  const auto weights = prepare_model_weights(backend, *config, tensors, variant, "test", progress, InterruptFlag());
  REQUIRE_OK(weights);
  const auto order_of = [&](WeightId id) {
    const auto found = weights->column_orders.find(id);
    return found == weights->column_orders.end() ? std::vector<std::int32_t>() : found->second;
  };
  const auto joined = [](const std::vector<std::vector<std::int32_t>>& orders) {
    std::vector<std::int32_t> all;
    for (const std::vector<std::int32_t>& order : orders) all.insert(all.end(), order.begin(), order.end());
    return all;
  };
  const auto encoding_of_gate_up = [&](std::size_t layer) {
    return weights->extents.at(weights->layers[layer].gate_up).encoding;
  };
  CHECK(order_of(weights->layers[0].gate_up) == order_with(5, 64));
  CHECK(order_of(weights->layers[0].down) == order_with(5, 96));
  CHECK(encoding_of_gate_up(0) == WeightEncoding::kInt4Group32);
  CHECK(order_of(weights->layers[1].gate_up) == joined({order_with(1, 64), order_with(5, 64), order_with(7, 64)}));
  CHECK(order_of(weights->layers[1].down) == joined({order_with(5, 96), order_with(11, 96), order_with(5, 96)}));
  CHECK(encoding_of_gate_up(1) == WeightEncoding::kInt4Group32);
  CHECK(order_of(weights->layers[2].gate_up).empty());
  CHECK(order_of(weights->layers[2].down).empty());
  CHECK(encoding_of_gate_up(2) == WeightEncoding::kF32);
  CHECK(weights->extents.at(weights->layers[2].down).encoding == WeightEncoding::kInt4Group32);
  REQUIRE_OK(check_graph(build_step_graph(*config, *weights, {})));
}

}  // namespace
}  // namespace secondsource
