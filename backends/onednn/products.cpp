#include "onednn/products.h"

#include <algorithm>
#include <vector>

#include "core/check.h"

namespace secondsource::onednn {

using dnnl::memory;

namespace {

memory::desc f32_matrix(std::int64_t n_rows, std::int64_t n_cols) {
  return {{n_rows, n_cols}, memory::data_type::f32, memory::format_tag::ab};
}

bool is_same_but_rows(ProductKey a, const ProductKey& b) {
  a.n_rows = b.n_rows;
  return a == b;
}

/// Appends the post-op and returns the index of the argument that it reads.
int append_binary(dnnl::post_ops& post_ops, dnnl::algorithm algorithm, const memory::desc& operand) {
  const int argument = DNNL_ARG_ATTR_MULTIPLE_POST_OP(post_ops.len()) | DNNL_ARG_SRC_1;
  post_ops.append_binary(algorithm, operand);
  return argument;
}

/// The post-ops after the sums, in order. Sets the indices of their arguments in `product`.
dnnl::post_ops post_ops_of(const ProductKey& key, Product& product) {
  dnnl::post_ops post_ops;
  if (weight_type(key.type) == memory::data_type::s8) {
    product.column_scales_argument = append_binary(post_ops, dnnl::algorithm::binary_mul, product.columns);
  }
  if (activation_type(key.type) == memory::data_type::s8) {
    product.row_scales_argument = append_binary(post_ops, dnnl::algorithm::binary_mul, product.row_scales);
  }
  if (key.has_bias) product.bias_argument = append_binary(post_ops, dnnl::algorithm::binary_add, product.columns);
  switch (key.epilogue) {
    case Epilogue::kNone:
    case Epilogue::kBias:
      break;
    case Epilogue::kAddResidual:
      post_ops.append_sum(1.0F);
      break;
    case Epilogue::kGatedSilu:
      append_eltwise(post_ops, dnnl::algorithm::eltwise_swish, 1.0F, 0.0F);
      product.up_argument = append_binary(post_ops, dnnl::algorithm::binary_mul, product.dst);
      break;
    case Epilogue::kGelu:
    case Epilogue::kGatedGelu:
      SS_CHECK(false, "own loops finish it");
      break;
    case Epilogue::kGatedClampedSwish:
      SS_CHECK(false, "supports() refuses it");
      break;
  }
  if (key.softcap > 0.0F) append_soft_cap(post_ops, key.softcap);
  return post_ops;
}

dnnl::primitive_attr attributes_of(ProductType type) {
  dnnl::primitive_attr attributes;
  if (type == ProductType::kBf16ByInt8) allow_int8_weights(attributes);
  return attributes;
}

/// The product of key, for `n_rows` rows.
Product make_product(const dnnl::engine& engine, const ProductKey& key, std::int64_t n_rows,
                     const memory::desc& weights) {
  Product product;
  product.n_rows = n_rows;
  product.src = activation_rows(key.type, n_rows, key.n_inputs);
  product.dst = f32_matrix(n_rows, key.n_outputs);
  product.columns = f32_matrix(1, key.n_outputs);
  // Not [M, 1], because oneDNN 2.6.3 and 3.2 run a product with that in their reference code.
  product.row_scales = f32_matrix(n_rows, n_rows == 1 ? 1 : key.n_outputs);
  dnnl::primitive_attr attributes = attributes_of(key.type);
  attributes.set_post_ops(post_ops_of(key, product));
  const auto description = make_matmul_desc(engine, product.src, weights, product.dst, attributes);
  product.primitive = dnnl::matmul(description);
  product.implementation = description.impl_info_str();
  return product;
}

bool is_reference_code(const Product& product) {
  return product.implementation.starts_with("ref");
}

}  // namespace

memory::data_type activation_type(ProductType type) {
  switch (type) {
    case ProductType::kF32:
      return memory::data_type::f32;
    case ProductType::kBf16:
    case ProductType::kBf16ByInt8:
      return memory::data_type::bf16;
    case ProductType::kInt8:
      return memory::data_type::s8;
  }
  return memory::data_type::undef;
}

memory::data_type weight_type(ProductType type) {
  return type == ProductType::kBf16ByInt8 ? memory::data_type::s8 : activation_type(type);
}

std::size_t size_of(memory::data_type type) {
  return memory::data_type_size(type);
}

std::int64_t activation_stride(ProductType type, std::int64_t n_inputs) {
  if (activation_type(type) != memory::data_type::bf16) return n_inputs;
  constexpr std::int64_t kVector = 32;
  return (n_inputs + kVector - 1) / kVector * kVector;
}

memory::desc activation_rows(ProductType type, std::int64_t n_rows, std::int64_t n_inputs) {
  return {{n_rows, n_inputs}, activation_type(type), {activation_stride(type, n_inputs), 1}};
}

bool multiplies_bf16_by_int8(const dnnl::engine& engine) {
  dnnl::primitive_attr attributes;
  if (!has_fast_bf16() || !allow_int8_weights(attributes)) return false;
  constexpr memory::dim kExtent = 256;
  for (const memory::dim n_rows : {memory::dim{1}, kExtent}) {
    const memory::desc src({n_rows, kExtent}, memory::data_type::bf16, memory::format_tag::ab);
    const memory::desc weights({kExtent, kExtent}, memory::data_type::s8, memory::format_tag::any);
    try {
      const std::string name =
          make_matmul_desc(engine, src, weights, f32_matrix(n_rows, kExtent), attributes).impl_info_str();
      if (name.starts_with("ref")) return false;
    } catch (const dnnl::error&) {
      return false;
    }
  }
  return true;
}

bool has_exact_int8(const dnnl::engine& engine) {
  // oneDNN adds 128 to signed activations: pairs of 127 * 127 would fit in 16 bits, but pairs of 255 * 127 do not.
  constexpr memory::dim kInputs = 64;
  constexpr memory::dim kOutputs = 16;
  const memory::desc src({1, kInputs}, memory::data_type::s8, memory::format_tag::ab);
  const memory::desc weights({kInputs, kOutputs}, memory::data_type::s8, memory::format_tag::ab);
  const memory::desc dst({1, kOutputs}, memory::data_type::f32, memory::format_tag::ab);
  std::vector<std::int8_t> max_values(kInputs * kOutputs, 127);
  std::vector<float> sums(kOutputs);
  dnnl::stream stream(engine);
  dnnl::matmul(make_matmul_desc(engine, src, weights, dst, {}))
      .execute(stream, {{DNNL_ARG_SRC, memory(src, engine, max_values.data())},
                        {DNNL_ARG_WEIGHTS, memory(weights, engine, max_values.data())},
                        {DNNL_ARG_DST, memory(dst, engine, sums.data())}});
  stream.wait();
  return std::ranges::all_of(sums, [](float sum) { return sum == 127.0F * 127.0F * kInputs; });
}

memory::desc Products::weights_layout(ProductType type, std::int64_t n_inputs, std::int64_t n_outputs) const {
  constexpr memory::dim kRows = 256;
  const memory::desc src = activation_rows(type, kRows, n_inputs);
  const memory::desc any({n_inputs, n_outputs}, weight_type(type), memory::format_tag::any);
  const memory::desc dst({kRows, n_outputs}, memory::data_type::f32, memory::format_tag::ab);
  return make_matmul_desc(engine_, src, any, dst, attributes_of(type)).weights_desc();
}

Result<void> Products::make(const ProductKey& key) {
  if (products_.contains(key)) return {};
  return guarded("making a product", [&]() -> Result<void> {
    const memory::desc weights = weights_layout(key.type, key.n_inputs, key.n_outputs);
    Product product = make_product(engine_, key, key.n_rows, weights);
    // With AMX, oneDNN 2.6.3 has tiles for two rows of int8 and only its reference code for one.
    if (key.n_rows == 1 && is_reference_code(product)) {
      constexpr std::int64_t kPaddedRows = 2;
      Product padded = make_product(engine_, key, kPaddedRows, weights);
      padded.pads_one_row = true;
      if (!is_reference_code(padded)) product = std::move(padded);
    }
    products_.emplace(key, std::move(product));
    return {};
  });
}

const Product* Products::at_least(const ProductKey& key) const {
  const auto found = products_.lower_bound(key);
  return found != products_.end() && is_same_but_rows(found->first, key) ? &found->second : nullptr;
}

bool Products::has_reference_code(ProductKey key) const {
  key.n_rows = 0;
  for (auto at = products_.lower_bound(key); at != products_.end() && is_same_but_rows(at->first, key); ++at) {
    if (is_reference_code(at->second)) return true;
  }
  return false;
}

}  // namespace secondsource::onednn
