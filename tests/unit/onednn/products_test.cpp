// Tests that primitives are made once per shape, not once per layer.

#include "onednn/products.h"

#include "onednn/kernels.h"
#include "unit/onednn/small_step.h"

namespace secondsource::onednn {
namespace {

/// The parts of the backend, made here to access what the backend hides.
struct Parts {
  explicit Parts() : products(engine), weights(engine, account, products, has_fast_bf16()) {}

  MemoryAccount account;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  Products products;
  Weights weights;
  std::vector<KvPool> pools;
  Kernels kernels{engine, account, products, weights, pools, 1};
};

/// The products of layers of 64 values, two heads of 32 that share one key and value, and an FFN of 96; every layer has
/// weights of its own.
StepGraph layers(Parts& parts, int n_layers, WeightEncoding encoding, ActQuant act) {
  StepGraph graph;
  graph.values = {{.cols = 64}, {.cols = 128}, {.cols = 96}};
  const auto weight = [&](std::int64_t n_rows, std::int64_t n_cols, Join join = Join::kNone) {
    return parts.weights.prepare(small_weight(encoding, n_rows, n_cols, join)).value();
  };
  const ValueId x{0};
  const ValueId qkv{1};
  const ValueId hidden{2};
  const Epilogue add = Epilogue::kAddResidual;
  for (int layer = 0; layer < n_layers; ++layer) {
    graph.ops.emplace_back(Matmul{.x = x, .weight = weight(128, 64), .out = qkv, .act = act});
    graph.ops.emplace_back(Matmul{.x = x, .weight = weight(64, 64), .out = x, .act = act, .epilogue = add, .aux = x});
    graph.ops.emplace_back(Matmul{.x = x,
                                  .weight = weight(192, 64, Join::kInterleaveGateUp),
                                  .out = hidden,
                                  .act = act,
                                  .epilogue = Epilogue::kGatedSilu});
    graph.ops.emplace_back(
        Matmul{.x = hidden, .weight = weight(64, 96), .out = x, .act = act, .epilogue = add, .aux = x});
  }
  return graph;
}

std::size_t primitives_of(Parts& parts, const StepGraph& graph, const Bucket& bucket) {
  REQUIRE_OK(parts.weights.resolve(graph));
  REQUIRE_OK(parts.kernels.prepare(graph, bucket));
  return parts.products.size();
}

/// The types of matmul that the backend uses oneDNN for on this CPU.
std::vector<ProductType> types_here(const dnnl::engine& engine) {
  std::vector<ProductType> types = {ProductType::kF32};
  if (has_fast_bf16()) types.push_back(ProductType::kBf16);
  if (multiplies_bf16_by_int8(engine)) types.push_back(ProductType::kBf16ByInt8);
  if (has_exact_int8(engine)) types.push_back(ProductType::kInt8);
  return types;
}

TEST_CASE("sixteen layers build the primitives of one") {
  // Five matmuls (qkv, attention output, gate, up and down), each for 1, 2, 4, 8 and 16 rows.
  constexpr std::size_t kExpected = 5 * 5;
  const Bucket bucket{16, 1, 1, 1};
  for (const int n_layers : {1, 16}) {
    Parts parts;
    CHECK(primitives_of(parts, layers(parts, n_layers, WeightEncoding::kBf16, ActQuant::kNone), bucket) == kExpected);
  }
}

TEST_CASE("a smaller bucket shares the primitives of a larger one and adds only its own last row count") {
  Parts parts;
  const StepGraph graph = layers(parts, 2, WeightEncoding::kF32, ActQuant::kNone);
  CHECK(primitives_of(parts, graph, {16, 1, 1, 1}) == 25);
  CHECK(primitives_of(parts, graph, {8, 1, 1, 1}) == 25);
  CHECK(primitives_of(parts, graph, {5, 1, 1, 1}) == 30);
}

TEST_CASE("a row count takes the primitive of the next larger one of the same shape, or none") {
  Products products(dnnl::engine(dnnl::engine::kind::cpu, 0));
  const auto key = [](std::int64_t n_inputs, std::int64_t n_rows) {
    return ProductKey{.type = ProductType::kF32, .n_inputs = n_inputs, .n_outputs = 32, .n_rows = n_rows};
  };
  for (const std::int64_t n_rows : {1, 4, 16}) REQUIRE_OK(products.make(key(32, n_rows)));
  REQUIRE_OK(products.make(key(48, 32)));
  CHECK(products.at_least(key(32, 1))->n_rows == 1);
  CHECK(products.at_least(key(32, 2))->n_rows == 4);
  CHECK(products.at_least(key(32, 16))->n_rows == 16);
  CHECK(products.at_least(key(32, 17)) == nullptr);
  CHECK(products.at_least(key(31, 1)) == nullptr);
  CHECK(products.at_least(key(48, 1))->n_rows == 32);
}

TEST_CASE("every epilogue that oneDNN computes is fused without a fall back to its reference code") {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  Products products(engine);
  for (const ProductType type : types_here(engine)) {
    for (const Epilogue epilogue : {Epilogue::kNone, Epilogue::kBias, Epilogue::kAddResidual, Epilogue::kGatedSilu}) {
      for (const float softcap : {0.0F, 30.0F}) {
        ProductKey key{.type = type, .n_inputs = 288, .n_outputs = 200, .epilogue = epilogue, .softcap = softcap};
        for (const std::int64_t n_rows : {1, 2, 48, 256}) {
          key.n_rows = n_rows;
          REQUIRE_OK(products.make(key));
        }
        CAPTURE(static_cast<int>(type), static_cast<int>(epilogue), softcap, products.at_least(key)->implementation);
        CHECK_FALSE(products.has_reference_code(key));
      }
    }
  }
}

TEST_CASE("int8 weights stay int8 where oneDNN widens them in its kernel, and their values come back") {
  Parts parts;
  REQUIRE_OK(parts.weights.resolve(layers(parts, 1, WeightEncoding::kInt8PerRow, ActQuant::kNone)));
  const ProductType expected = multiplies_bf16_by_int8(parts.engine) ? ProductType::kBf16ByInt8
                               : has_fast_bf16()                     ? ProductType::kBf16
                                                                     : ProductType::kF32;
  for (std::size_t i = 0; i < parts.weights.specs().size(); ++i) {
    const WeightId id{static_cast<std::int32_t>(i)};
    const Weight& weight = parts.weights.at(id);
    CHECK(weight.product == expected);
    CHECK(weight.fallback.empty() == (expected == ProductType::kBf16ByInt8));
    const std::vector<float> values = parts.weights.unprepare(id).value();
    REQUIRE(static_cast<std::int64_t>(values.size()) == weight.spec.n_rows * weight.spec.n_cols);
    for (std::size_t at = 0; at < values.size(); ++at) {
      const std::int64_t row = static_cast<std::int64_t>(at) / weight.spec.n_cols;
      const float scale = static_cast<float>(1 << (row % 3));
      CHECK(values[at] == scale * small_integer(row, static_cast<std::int64_t>(at) % weight.spec.n_cols));
    }
  }
}

TEST_CASE("weights have one layout for every number of rows") {
  // Products::weights_layout() relies on this. oneDNN would also accept another layout, but would copy it in every call. With AMX,
  // oneDNN 2.6.3 prefers another layout for few rows if an int8 matrix is smaller than some tiles, and multiplies with ours in its
  // reference code, which kernels.cpp reports as a fallback. oneDNN 3.12.1 would choose another layout for one row, but does not
  // use its reference code for ours (the test above).
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const Products products(engine);
  using dnnl::memory;
  constexpr int kSmallMatrix = 64 * 128;
  for (const ProductType type : types_here(engine)) {
    dnnl::primitive_attr attributes;
    if (type == ProductType::kBf16ByInt8) allow_int8_weights(attributes);
    for (const auto& [k, n] : {std::pair<int, int>{64, 96}, {288, 768}, {100, 1}, {1, 65}, {2048, 2048}}) {
      for (const int m : {1, 2, 16, 48, 512}) {
        CAPTURE(static_cast<int>(type), k, n, m);
        const memory::desc src = activation_rows(type, m, k);
        const memory::desc any({k, n}, weight_type(type), memory::format_tag::any);
        const memory::desc dst({m, n}, memory::data_type::f32, memory::format_tag::ab);
        const bool is_same =
            make_matmul_desc(engine, src, any, dst, attributes).weights_desc() == products.weights_layout(type, k, n);
        if (is_same || (m == 1 && dnnl_version()->major == 3 && dnnl_version()->minor >= 12)) continue;
        CHECK(type == ProductType::kInt8);
        CHECK(k * n < kSmallMatrix);
      }
    }
  }
}

}  // namespace
}  // namespace secondsource::onednn
