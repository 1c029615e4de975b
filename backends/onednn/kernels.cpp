#include "onednn/kernels.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <unordered_map>

#include "backend/op_visit.h"
#include "backend_kit/query_growth.h"
#include "core/check.h"
#include "onednn/row_kernels.h"

namespace secondsource::onednn {
namespace {

using dnnl::memory;

/// The product with no epilogue except its bias. A gated epilogue multiplies by such a product, that of the other half of the weight.
ProductKey plain_key(ProductKey key) {
  key.epilogue = key.has_bias ? Epilogue::kBias : Epilogue::kNone;
  key.softcap = 0.0F;
  return key;
}

/// Epilogues that own loops finish: oneDNN's gelu is x/2 (1 + tanh y), which cancels for x < 0.
bool is_gelu(Epilogue epilogue) {
  return epilogue == Epilogue::kGelu || epilogue == Epilogue::kGatedGelu;
}

/// A oneDNN handle to memory that it does not own. The constructor takes no const pointer, but oneDNN writes to dst only.
memory borrow(const memory::desc& layout, const void* data, const dnnl::engine& engine) {
  return {layout, engine, const_cast<void*>(data)};
}

std::string_view name_of(ProductType type) {
  switch (type) {
    case ProductType::kF32:
      return "matmul_f32_f32acc";
    case ProductType::kBf16:
      return "matmul_bf16_f32acc";
    case ProductType::kBf16ByInt8:
      return "matmul_bf16s8_f32acc";
    case ProductType::kInt8:
      return "matmul_s8s8_s32acc";
  }
  return "";
}

}  // namespace

std::vector<std::int64_t> row_counts(std::int64_t max_rows) {
  std::vector<std::int64_t> counts;
  for (std::int64_t count = 1; count < max_rows; count *= 2) {
    counts.push_back(count);
    // Larger counts also have one halfway to the next, so that at most a third of the rows are zeros.
    if (count >= 16 && count + count / 2 < max_rows) counts.push_back(count + count / 2);
  }
  counts.push_back(max_rows);
  return counts;
}

Result<void> Kernels::grow(HostBuffer& buffer, std::size_t bytes) {
  if (bytes <= buffer.size_bytes()) return {};
  buffer = HostBuffer();
  SS_TRY(buffer, HostBuffer::allocate(account_, MemoryPurpose::kWorkspace, bytes));
  return {};
}

ProductKey Kernels::key_of(const Matmul& op, std::int64_t n_rows) const {
  const Weight& weight = weights_.at(op.weight);
  const ProductKey key{.type = weight.product,
                       .n_inputs = weight.spec.n_cols,
                       .n_outputs = dims_of(weight.parts.front().layout)[1],
                       .epilogue = op.epilogue,
                       .has_bias = op.bias.has_value(),
                       .softcap = op.softcap,
                       .n_rows = n_rows};
  return is_gelu(op.epilogue) ? plain_key(key) : key;
}

Result<void> Kernels::prepare(const StepGraph& graph, const Bucket& bucket) {
  omp_set_num_threads(n_threads_);  // set for the calling thread; primitives are made for this number
  ScratchNeed need;
  for (const Op& op : graph.ops) {
    SS_TRY_VOID(visit_op(
        op, [&](const Matmul& matmul) { return prepare_matmul(matmul, graph, bucket, need); },
        [&](const Attention& attention) -> Result<void> {
          const std::size_t n_floats = attention_scratch_floats(attention.heads) * static_cast<std::size_t>(n_threads_);
          need.attention = std::max(need.attention, n_floats * sizeof(float));
          return {};
        },
        [](const OneOf<Embed, RmsNorm, RopeAppend, LatentAppend, HeadMatmul, SelectRows, SelectColumns, Sample, Route,
                       GroupedMatmul> auto&) -> Result<void> { return {}; }));
  }
  SS_TRY_VOID(grow(input_scratch_, need.input));
  SS_TRY_VOID(grow(up_scratch_, need.up));
  SS_TRY_VOID(grow(row_scales_, need.row_scales));
  SS_TRY_VOID(grow(padded_output_, need.padded_output));
  return grow(attention_scratch_, need.attention);
}

Result<void> Kernels::prepare_matmul(const Matmul& op, const StepGraph& graph, const Bucket& bucket,
                                     ScratchNeed& need) {
  const Weight& weight = weights_.at(op.weight);
  const Rows rows = graph.values[static_cast<std::size_t>(index_of(op.x))].rows;
  const std::int64_t max_rows = rows == Rows::kTokens   ? bucket.max_tokens
                                : rows == Rows::kLogits ? std::max(bucket.max_logit_rows, 1)
                                                        : bucket.max_seqs;
  for (const std::int64_t n_rows : row_counts(max_rows)) {
    const ProductKey key = key_of(op, n_rows);
    SS_TRY_VOID(products_.make(key));
    if (is_gated(op.epilogue)) SS_TRY_VOID(products_.make(plain_key(key)));
  }
  const Product* const fewest = products_.at_least(key_of(op, 1));
  const auto n = static_cast<std::size_t>(std::max(max_rows, fewest->n_rows));
  const auto stride = static_cast<std::size_t>(activation_stride(weight.product, weight.spec.n_cols));
  need.input = std::max(need.input, n * stride * size_of(activation_type(weight.product)));
  const std::size_t output_bytes = n * static_cast<std::size_t>(key_of(op, 1).n_outputs) * sizeof(float);
  if (is_gated(op.epilogue)) need.up = std::max(need.up, output_bytes);
  if (weight.product == ProductType::kInt8) need.row_scales = std::max(need.row_scales, output_bytes);
  if (fewest->pads_one_row) {
    need.padded_output = std::max(need.padded_output, output_bytes / n * static_cast<std::size_t>(fewest->n_rows));
  }
  return {};
}

Result<void> Kernels::run(const Matmul& op, const HostFrame& frame) {
  omp_set_num_threads(n_threads_);
  const std::int64_t n_real = frame.value(op.x).rows();
  if (n_real == 0) return {};
  // A primitive exists for the next larger row count, because there is one for the bucket's.
  const Product* const product = products_.at_least(key_of(op, n_real));
  if (product == nullptr) {
    return Error{ErrorCode::kInternal, fmt::format("oneDNN: no product was made for {} rows", n_real)};
  }
  const Weight& weight = weights_.at(op.weight);
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  if (op.aux && *op.aux != op.out) std::copy_n(frame.value(*op.aux).data(), x.rows() * out.cols(), out.data());
  float* const dst = product->pads_one_row ? padded_output_.as<float>().data() : out.data();
  if (product->pads_one_row && op.aux) std::copy_n(out.data(), out.cols(), dst);
  return guarded("a product", [&]() -> Result<void> {
    const memory src = read_input(x, weight.product, op.act_scale, *product);
    auto arguments = arguments_of(*product, weight, 0, src, dst);
    const float* const bias = op.bias ? weights_.at(*op.bias).vector.data() : nullptr;
    if (op.bias) arguments.emplace(product->bias_argument, borrow(product->columns, bias, engine_));
    if (is_gated(op.epilogue)) {
      float* const up = up_scratch_.as<float>().data();
      const Product* const plain = products_.at_least(plain_key(key_of(op, n_real)));
      SS_CHECK(plain->n_rows == product->n_rows, "both halves of a gated product have the same rows");
      auto up_arguments = arguments_of(*plain, weight, 1, src, up);
      if (op.bias) up_arguments.emplace(plain->bias_argument, borrow(plain->columns, bias + out.cols(), engine_));
      plain->primitive.execute(stream_, up_arguments);
      if (!is_gelu(op.epilogue)) arguments.emplace(product->up_argument, borrow(product->dst, up, engine_));
    }
    product->primitive.execute(stream_, arguments);
    stream_.wait();
    if (product->pads_one_row) std::copy_n(dst, out.cols(), out.data());
    if (is_gelu(op.epilogue)) finish_gelu(op, out);
    return {};
  });
}

void Kernels::finish_gelu(const Matmul& op, const MatrixView<float>& out) {
  const std::span<const float> ups = up_scratch_.as<float>();
  const auto n = static_cast<std::size_t>(out.cols());
#pragma omp parallel for num_threads(n_threads_) schedule(static)
  for (std::int64_t row = 0; row < out.rows(); ++row) {
    const std::size_t n_ups = is_gated(op.epilogue) ? n : 0;
    gelu_row(out.row(row), ups.subspan(static_cast<std::size_t>(row) * n_ups, n_ups));
    if (op.softcap > 0.0F) soft_cap_row(out.row(row), 1.0F, op.softcap);
  }
}

memory Kernels::read_input(const MatrixView<float>& x, ProductType type, float act_scale, const Product& product) {
  const std::int64_t n_rows = product.n_rows;
  const auto n_cols = static_cast<std::size_t>(x.cols());
  // The padding rows are inside the workspace, which is planned for the bucket.
  if (type == ProductType::kF32) {
    std::fill_n(x.data() + x.rows() * x.cols(), (n_rows - x.rows()) * x.cols(), 0.0F);
    return borrow(product.src, x.data(), engine_);
  }
  auto* const rounded = input_scratch_.as<Bf16>().data();
  auto* const quantized = input_scratch_.as<std::int8_t>().data();
  auto* const row_scales = row_scales_.as<float>().data();
  const auto n_scales = static_cast<std::size_t>(dims_of(product.row_scales)[1]);
  const auto stride = static_cast<std::size_t>(activation_stride(type, x.cols()));
  const bool is_bf16 = activation_type(type) == memory::data_type::bf16;
#pragma omp parallel for num_threads(n_threads_) schedule(static)
  for (std::int64_t row = 0; row < n_rows; ++row) {
    const auto at = static_cast<std::size_t>(row);
    const bool is_real = row < x.rows();
    if (is_bf16) {
      Bf16* const to = rounded + at * stride;
      if (is_real) round_row(x.row(row), to);
      const std::size_t n_values = is_real ? n_cols : 0;
      std::fill_n(to + n_values, stride - n_values, Bf16{});
    } else {
      std::int8_t* const to = quantized + at * stride;
      const std::size_t n_values = is_real ? n_cols : 0;
      std::fill_n(to + n_values, stride - n_values, std::int8_t{0});
      std::fill_n(row_scales + at * n_scales, n_scales, is_real ? quantize_row(x.row(row), act_scale, to) : 0.0F);
    }
  }
  return borrow(product.src, input_scratch_.data(), engine_);
}

std::unordered_map<int, memory> Kernels::arguments_of(const Product& product, const Weight& weight, std::size_t part,
                                                      const memory& src, float* dst) const {
  std::unordered_map<int, memory> arguments = {{DNNL_ARG_SRC, src},
                                               {DNNL_ARG_WEIGHTS, weight.parts[part].memory},
                                               {DNNL_ARG_DST, borrow(product.dst, dst, engine_)}};
  if (product.column_scales_argument != 0) {
    const std::size_t first = part * static_cast<std::size_t>(dims_of(product.columns)[1]);
    arguments.emplace(product.column_scales_argument, borrow(product.columns, weight.scales.data() + first, engine_));
  }
  if (product.row_scales_argument != 0) {
    arguments.emplace(product.row_scales_argument, borrow(product.row_scales, row_scales_.data(), engine_));
  }
  return arguments;
}

Result<void> Kernels::run(const Embed& op, const HostFrame& frame) {
  const MatrixView<float> out = frame.value(op.out);
  const std::int64_t n_ids = weights_.at(op.table).spec.n_rows;
  const std::span<const std::int32_t> ids = frame.token_ids;
  for (std::int64_t t = 0; t < out.rows(); ++t) {
    const std::int32_t id = ids[static_cast<std::size_t>(t)];
    if (id >= 0 && id < n_ids) continue;
    return Error{ErrorCode::kInvalidInput, fmt::format("token {}: expected an id in [0, {}), found {}", t, n_ids, id)};
  }
#pragma omp parallel for num_threads(n_threads_) schedule(static)
  for (std::int64_t t = 0; t < out.rows(); ++t) {
    weights_.embed_row(op.table, ids[static_cast<std::size_t>(t)], op.scale, out.row(t));
  }
  return {};
}

Result<void> Kernels::run(const RmsNorm& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const std::span<const float> weight = weights_.at(op.weight).vector;
#pragma omp parallel for num_threads(n_threads_) schedule(static)
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    if (op.centers) {
      const auto row_of = [&](const std::optional<ValueId>& id) {
        return id ? frame.value(*id).row(row) : std::span<float>();
      };
      std::span<const float> bias;
      if (op.bias) bias = weights_.at(*op.bias).vector;
      layer_norm_row({.x = x.row(row),
                      .add = row_of(op.add),
                      .weight = weight,
                      .bias = bias,
                      .eps = op.eps,
                      .sum_out = row_of(op.sum_out),
                      .residual = row_of(op.residual),
                      .out = out.row(row)});
      continue;
    }
    if (op.residual) {
      const float factor = inverse_rms(x.row(row), op.eps);
      add_scaled_by_weights(frame.value(*op.residual).row(row), x.row(row), factor, weight, out.row(row));
      continue;
    }
    const std::span<const float> add =
        op.add ? std::span<const float>(frame.value(*op.add).row(row)) : std::span<const float>();
    // Without sum_out the sum is built in out, whose elements are each read before the result replaces them.
    const std::span<float> sum = op.sum_out ? frame.value(*op.sum_out).row(row) : op.add ? out.row(row) : x.row(row);
    rms_norm_row(x.row(row), add, weight, op.eps, sum, out.row(row));
  }
  return {};
}

Result<void> Kernels::run(const SelectColumns& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const std::span<const std::int32_t> columns = frame.columns(op.columns);
#pragma omp parallel for num_threads(n_threads_) schedule(static)
  for (std::int64_t row = 0; row < out.rows(); ++row) {
    const float* const from = x.row(row).data();
    float* const to = out.row(row).data();
    for (std::size_t i = 0; i < columns.size(); ++i) to[i] = from[columns[i]];
  }
  return {};
}

Result<void> Kernels::run(const RopeAppend& op, const HostFrame& frame) {
  const MatrixView<float> qkv = frame.value(op.qkv);
  const MatrixView<float> k = frame.value(op.k.value_or(op.qkv));
  const MatrixView<float> v = frame.value(op.v.value_or(op.qkv));
  const MatrixView<float> q_out = frame.value(op.q_out);
  const RopeSpec& rope = frame.graph.ropes[static_cast<std::size_t>(index_of(op.rope))];
  const KvPool& cache = pool(frame);
  const auto head_dim = static_cast<std::size_t>(op.heads.head_dim);
  const std::size_t half = head_dim / 2;
  for (const std::int32_t slot : frame.batch.kv_slots) {
    if (slot >= cache.n_slots()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("expected a cache slot below {}, found {}", cache.n_slots(), slot)};
    }
  }
#pragma omp parallel for num_threads(n_threads_) schedule(static)
  for (std::int64_t t = 0; t < qkv.rows(); ++t) {
    std::array<float, kMaxHeadDim> table;  // cosines, then sines
    const auto position = static_cast<float>(frame.batch.positions[static_cast<std::size_t>(t)]);
    for (std::size_t i = 0; i < half; ++i) {
      const float angle = position * rope.inv_freq[i];
      const float size = rope.inv_freq[i] == 0.0F ? 1.0F : rope.attention_factor;
      table[i] = std::cos(angle) * size;
      table[half + i] = std::sin(angle) * size;
    }
    std::array<float, kMaxHeadDim> head;
    const std::int32_t slot = frame.batch.kv_slots[static_cast<std::size_t>(t)];
    const bool is_over_all = op.head_norm == HeadNorm::kRmsOfAllHeads;
    // Normalizes and rotates one head of `heads`, which are the heads of q or of k of the token.
    const auto transform = [&](std::span<const float> heads, std::size_t at, const std::optional<WeightId>& norm,
                               float all_factor, std::span<float> to) {
      const std::span<const float> from = heads.subspan(at, head_dim);
      if (norm && op.head_norm == HeadNorm::kLayerNormOfHead) {
        layer_norm_row({.x = from,
                        .weight = std::span(weights_.at(*norm).vector).subspan(at, head_dim),
                        .eps = op.norm_eps,
                        .out = to});
      } else if (norm) {
        const std::span<const float> weight = weights_.at(*norm).vector;
        scale_by_weights(from, is_over_all ? all_factor : inverse_rms(from, op.norm_eps),
                         is_over_all ? weight.subspan(at, head_dim) : weight, to);
      } else {
        std::copy(from.begin(), from.end(), to.begin());
      }
      rotate_row(to, table.data(), table.data() + half);
    };
    const auto factor_of_all = [&](std::span<const float> heads, const std::optional<WeightId>& norm) {
      return norm && is_over_all ? inverse_rms(heads, op.norm_eps) : 1.0F;
    };
    const std::size_t q_dim = static_cast<std::size_t>(op.heads.n_heads) * head_dim;
    const std::size_t kv_dim = static_cast<std::size_t>(op.heads.n_kv_heads) * head_dim;
    const std::span<const float> queries = qkv.row(t).first(q_dim);
    const float q_factor = factor_of_all(queries, op.q_norm);
    for (std::size_t at = 0; at < q_dim; at += head_dim) {
      transform(queries, at, op.q_norm, q_factor, q_out.row(t).subspan(at, head_dim));
    }
    const float scale = query_scale(rope.query_growth, frame.batch.positions[static_cast<std::size_t>(t)]);
    if (scale != 1.0F) {
      for (float& value : q_out.row(t)) value *= scale;
    }
    if (slot < 0) continue;  // a padding row
    const std::span<const float> keys = k.row(t).subspan(op.k ? 0 : q_dim, kv_dim);
    const std::span<const float> values = v.row(t).last(kv_dim);
    const float k_factor = factor_of_all(keys, op.k_norm);
    for (std::int32_t h = 0; h < op.heads.n_kv_heads; ++h) {
      const std::size_t at = static_cast<std::size_t>(h) * head_dim;
      transform(keys, at, op.k_norm, k_factor, std::span(head).first(head_dim));
      round_row(std::span(head).first(head_dim), cache.key(op.layer, h, slot).data());
      round_row(values.subspan(at, head_dim), cache.value(op.layer, h, slot).data());
    }
  }
  return {};
}

Result<void> Kernels::run(const Attention& op, const HostFrame& frame) {
  omp_set_num_threads(n_threads_);
  const float* const sinks = op.sinks ? weights_.at(*op.sinks).vector.data() : nullptr;
  return attend(op, frame, pool(frame), sinks, n_threads_, attention_scratch_.as<float>());
}

Result<void> Kernels::run(const LatentAppend&, const HostFrame&) {
  return Error{ErrorCode::kUnsupported, "oneDNN has no latent attention"};
}

Result<void> Kernels::run(const HeadMatmul&, const HostFrame&) {
  return Error{ErrorCode::kUnsupported, "oneDNN has no latent attention"};
}

Result<void> Kernels::run(const Route&, const HostFrame&) {
  return Error{ErrorCode::kUnsupported, "oneDNN has no router"};
}

Result<void> Kernels::run(const GroupedMatmul&, const HostFrame&) {
  return Error{ErrorCode::kUnsupported, "oneDNN has no grouped product"};
}

OpGroup Kernels::describe(const Op& op, std::int32_t op_index, std::int64_t /*n_rows*/) const {
  return visit_op(
      op, [&](const Matmul& matmul) { return describe_matmul(matmul, op_index); },
      [&](const OneOf<Embed, RmsNorm, RopeAppend, LatentAppend, HeadMatmul, Attention, SelectRows, SelectColumns,
                      Sample, Route, GroupedMatmul> auto&) -> OpGroup {
        return {{op_index}, fmt::format("own {}_f32_openmp", op_name(op)), ""};
      });
}

OpGroup Kernels::describe_matmul(const Matmul& op, std::int32_t op_index) const {
  const Weight& weight = weights_.at(op.weight);
  const ProductKey key = key_of(op, 1);
  const std::string_view name = name_of(weight.product);
  const Product* const product = products_.at_least(key);
  std::string fallback = weight.fallback;
  if (fallback.empty() && products_.has_reference_code(key)) {
    fallback = "oneDNN leaves this product to its reference code on this CPU";
  }
  return {{op_index},
          fmt::format("onednn {} {}{}{}", name, product != nullptr ? product->implementation : "?", weight.note,
                      is_gelu(op.epilogue) ? ", own gelu" : ""),
          fallback};
}

}  // namespace secondsource::onednn
