#include "onednn/kernels.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "onednn/row_kernels.h"

namespace secondsource::onednn {
namespace {

using dnnl::memory;

bool is_gated(Epilogue epilogue) {
  return epilogue == Epilogue::kGatedSilu || epilogue == Epilogue::kGatedGelu;
}

ProductKey key_of(const Matmul& op, std::int64_t n_rows) {
  return {.weight = index_of(op.weight),
          .bias = op.bias ? index_of(*op.bias) : -1,
          .epilogue = op.epilogue,
          .n_rows = n_rows};
}

}  // namespace

std::vector<std::int64_t> row_counts(std::int64_t max_rows) {
  std::vector<std::int64_t> counts;
  for (std::int64_t count = 1; count < max_rows; count *= 2) {
    counts.push_back(count);
    // Large products in steps of a half, so that at most a third of the rows are zeros.
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

Result<Product> Kernels::make_product(const Matmul& op, std::int64_t n_rows) const {
  const Weight& weight = weights_.at(op.weight);
  return guarded("making a product", [&]() -> Result<Product> {
    const PackedMatrix& part = weight.parts.front();
    Product product;
    product.src = memory::desc({n_rows, weight.spec.n_cols}, dnnl_type(weight.product), memory::format_tag::ab);
    product.dst = memory::desc({n_rows, dims_of(part.layout)[1]}, memory::data_type::f32, memory::format_tag::ab);
    dnnl::post_ops post_ops;
    memory::desc bias;
    // Integer sums get their scales, and then the epilogue, from finish_quantized_row().
    if (weight.product != ProductType::kInt8) {
      if (op.epilogue == Epilogue::kAddResidual) post_ops.append_sum(1.0F);
      if (op.epilogue == Epilogue::kGatedSilu) {
        append_eltwise(post_ops, dnnl::algorithm::eltwise_swish, 1.0F, 0.0F);
      }
      if (op.epilogue == Epilogue::kGatedGelu) append_eltwise(post_ops, dnnl::algorithm::eltwise_gelu_tanh, 0.0F, 0.0F);
      if (is_gated(op.epilogue)) {
        post_ops.append_binary(dnnl::algorithm::binary_mul, product.dst);
        product.up = dnnl::matmul(make_matmul_desc(engine_, product.src, weight.parts[1].layout, {}, product.dst, {}));
      }
      if (op.bias) {
        bias = memory::desc({1, dims_of(product.dst)[1]}, memory::data_type::f32, memory::format_tag::ab);
      }
    }
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(post_ops);
    product.main = dnnl::matmul(make_matmul_desc(engine_, product.src, part.layout, bias, product.dst, attributes));
    return product;
  });
}

Result<void> Kernels::prepare(const StepGraph& graph, const Bucket& bucket) {
  omp_set_num_threads(n_threads_);  // a setting of this thread, which primitives are made for
  std::size_t input_bytes = 0;
  std::size_t output_bytes = 0;
  std::size_t attention_floats = 0;
  for (const Op& op : graph.ops) {
    if (const auto* const attention = std::get_if<Attention>(&op)) {
      attention_floats = std::max(attention_floats, attention_scratch_floats(attention->heads));
    }
    const auto* const matmul = std::get_if<Matmul>(&op);
    if (matmul == nullptr) continue;
    const Weight& weight = weights_.at(matmul->weight);
    const Rows rows = graph.values[static_cast<std::size_t>(index_of(matmul->x))].rows;
    const std::int64_t max_rows = rows == Rows::kTokens   ? bucket.max_tokens
                                  : rows == Rows::kLogits ? std::max(bucket.max_logit_rows, 1)
                                                          : bucket.max_seqs;
    for (const std::int64_t n_rows : row_counts(max_rows)) {
      const ProductKey key = key_of(*matmul, n_rows);
      if (products_.contains(key)) continue;
      SS_TRY(Product product, make_product(*matmul, n_rows));
      products_.emplace(key, std::move(product));
    }
    const auto n = static_cast<std::size_t>(max_rows);
    input_bytes = std::max(input_bytes, n * static_cast<std::size_t>(weight.spec.n_cols) * size_of(weight.product));
    if (weight.product == ProductType::kInt8 || is_gated(matmul->epilogue)) {
      output_bytes = std::max(output_bytes, n * static_cast<std::size_t>(weight.spec.n_rows) * sizeof(float));
    }
  }
  SS_TRY_VOID(grow(input_scratch_, input_bytes));
  SS_TRY_VOID(grow(output_scratch_, output_bytes));
  SS_TRY_VOID(grow(row_scales_, static_cast<std::size_t>(std::max(bucket.max_tokens, 1)) * sizeof(float)));
  return grow(attention_scratch_, attention_floats * static_cast<std::size_t>(n_threads_) * sizeof(float));
}

Result<void> Kernels::run(const Matmul& op, const HostFrame& frame) {
  omp_set_num_threads(n_threads_);
  const std::int64_t n_real = frame.value(op.x).rows();
  if (n_real == 0) return {};
  // Primitives were made for these counts only; the next larger one is there, because the bucket's own is.
  const ProductKey wanted = key_of(op, n_real);
  auto found = products_.lower_bound(wanted);
  if (found == products_.end() || found->first.weight != wanted.weight || found->first.bias != wanted.bias ||
      found->first.epilogue != wanted.epilogue) {
    return Error{ErrorCode::kInternal, fmt::format("oneDNN: no product was made for {} rows", n_real)};
  }
  const std::int64_t n_rows = found->first.n_rows;
  return guarded("a product", [&]() -> Result<void> {
    if (weights_.at(op.weight).product == ProductType::kInt8) return run_quantized(op, frame, n_rows, found->second);
    return run_float(op, frame, n_rows, found->second);
  });
}

Result<void> Kernels::run_float(const Matmul& op, const HostFrame& frame, std::int64_t n_rows, const Product& product) {
  const Weight& weight = weights_.at(op.weight);
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const auto n_cols = static_cast<std::size_t>(x.cols());
  // The rows between the batch's and the primitive's count lie inside the bucket, which the workspace is planned for.
  void* input = x.data();
  if (weight.product == ProductType::kBf16) {
    auto* const rounded = input_scratch_.as<Bf16>().data();
#pragma omp parallel for num_threads(n_threads_) schedule(static)
    for (std::int64_t row = 0; row < n_rows; ++row) {
      Bf16* const to = rounded + static_cast<std::size_t>(row) * n_cols;
      if (row < x.rows()) {
        round_row(x.row(row), to);
      } else {
        std::fill_n(to, n_cols, Bf16{});
      }
    }
    input = rounded;
  } else {
    std::fill_n(x.data() + x.rows() * x.cols(), (n_rows - x.rows()) * x.cols(), 0.0F);
  }
  if (op.aux && *op.aux != op.out) std::copy_n(frame.value(*op.aux).data(), x.rows() * out.cols(), out.data());

  std::unordered_map<int, memory> arguments = {{DNNL_ARG_SRC, memory(product.src, engine_, input)},
                                               {DNNL_ARG_WEIGHTS, weight.parts.front().memory},
                                               {DNNL_ARG_DST, memory(product.dst, engine_, out.data())}};
  if (op.bias) {
    const memory::desc layout({1, out.cols()}, memory::data_type::f32, memory::format_tag::ab);
    arguments.emplace(DNNL_ARG_BIAS, memory(layout, engine_, const_cast<float*>(weights_.at(*op.bias).vector.data())));
  }
  if (is_gated(op.epilogue)) {
    memory up(product.dst, engine_, output_scratch_.data());
    product.up.execute(
        stream_,
        {{DNNL_ARG_SRC, arguments.at(DNNL_ARG_SRC)}, {DNNL_ARG_WEIGHTS, weight.parts[1].memory}, {DNNL_ARG_DST, up}});
    arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(1) | DNNL_ARG_SRC_1, up);
  }
  product.main.execute(stream_, arguments);
  stream_.wait();
  if (op.softcap <= 0.0F) return {};
    // Not post-ops: of two eltwise_linear in one chain, oneDNN 2.6.3 gives both the factor of the first (found by the
    // conformance suite).
#pragma omp parallel for num_threads(n_threads_) schedule(static)
  for (std::int64_t row = 0; row < out.rows(); ++row) soft_cap_row(out.row(row), 1.0F, op.softcap);
  return {};
}

Result<void> Kernels::run_quantized(const Matmul& op, const HostFrame& frame, std::int64_t n_rows,
                                    const Product& product) {
  const Weight& weight = weights_.at(op.weight);
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  auto* const quantized = input_scratch_.as<std::int8_t>().data();
  auto* const row_scales = row_scales_.as<float>().data();
  auto* const sums = output_scratch_.as<float>().data();
  const auto n_cols = static_cast<std::size_t>(x.cols());
#pragma omp parallel for num_threads(n_threads_) schedule(static)
  for (std::int64_t row = 0; row < n_rows; ++row) {
    std::int8_t* const to = quantized + static_cast<std::size_t>(row) * n_cols;
    if (row < x.rows()) {
      row_scales[row] = quantize_row(x.row(row), to);
    } else {
      std::fill_n(to, n_cols, std::int8_t{0});
    }
  }
  product.main.execute(stream_, {{DNNL_ARG_SRC, memory(product.src, engine_, quantized)},
                                 {DNNL_ARG_WEIGHTS, weight.parts.front().memory},
                                 {DNNL_ARG_DST, memory(product.dst, engine_, sums)}});
  stream_.wait();
  const auto n_sums = static_cast<std::size_t>(weight.spec.n_rows);
#pragma omp parallel for num_threads(n_threads_) schedule(static)
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    const float* other = op.bias ? weights_.at(*op.bias).vector.data() : nullptr;
    if (op.aux) other = frame.value(*op.aux).row(row).data();
    finish_quantized_row(op.epilogue, {sums + static_cast<std::size_t>(row) * n_sums, n_sums}, row_scales[row],
                         weight.scales, other, op.softcap, out.row(row));
  }
  return {};
}

Result<void> Kernels::run(const Embed& op, const HostFrame& frame) {
  const MatrixView<float> out = frame.value(op.out);
  const std::int64_t n_ids = weights_.at(op.table).spec.n_rows;
  for (std::int64_t t = 0; t < out.rows(); ++t) {
    const std::int32_t id = frame.token_ids[static_cast<std::size_t>(t)];
    if (id < 0 || id >= n_ids) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("token {}: expected an id in [0, {}), found {}", t, n_ids, id)};
    }
    weights_.embed_row(op.table, id, op.scale, out.row(t));
  }
  return {};
}

Result<void> Kernels::run(const RmsNorm& op, const HostFrame& frame) {
  const MatrixView<float> x = frame.value(op.x);
  const MatrixView<float> out = frame.value(op.out);
  const std::span<const float> weight = weights_.at(op.weight).vector;
#pragma omp parallel for num_threads(n_threads_) schedule(static)
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    const std::span<const float> add =
        op.add ? std::span<const float>(frame.value(*op.add).row(row)) : std::span<const float>();
    // Without a place for the sum it is built where the result goes, which is read no more once it is written.
    const std::span<float> sum = op.sum_out ? frame.value(*op.sum_out).row(row) : op.add ? out.row(row) : x.row(row);
    rms_norm_row(x.row(row), add, weight, op.eps, sum, out.row(row));
  }
  return {};
}

Result<void> Kernels::run(const RopeAppend& op, const HostFrame& frame) {
  const MatrixView<float> qkv = frame.value(op.qkv);
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
    std::array<float, 512> table;  // cosines, then sines; compile() refuses larger heads
    const auto position = static_cast<float>(frame.batch.positions[static_cast<std::size_t>(t)]);
    for (std::size_t i = 0; i < half; ++i) {
      const float angle = position * rope.inv_freq[i];
      table[i] = std::cos(angle) * rope.attention_factor;
      table[half + i] = std::sin(angle) * rope.attention_factor;
    }
    std::array<float, 512> head;
    const std::int32_t slot = frame.batch.kv_slots[static_cast<std::size_t>(t)];
    const auto transform = [&](std::span<const float> from, const std::optional<WeightId>& norm, std::span<float> to) {
      std::copy(from.begin(), from.end(), to.begin());
      if (norm) rms_norm_row(to, {}, weights_.at(*norm).vector, op.norm_eps, to, to);
      rotate_row(to, table.data(), table.data() + half);
    };
    const std::span<const float> row = qkv.row(t);
    for (std::int32_t h = 0; h < op.heads.n_heads; ++h) {
      const std::size_t at = static_cast<std::size_t>(h) * head_dim;
      transform(row.subspan(at, head_dim), op.q_norm, q_out.row(t).subspan(at, head_dim));
    }
    for (std::int32_t h = 0; h < op.heads.n_kv_heads && slot >= 0; ++h) {
      const std::size_t key_at = static_cast<std::size_t>(op.heads.n_heads + h) * head_dim;
      const std::size_t value_at = static_cast<std::size_t>(op.heads.n_heads + op.heads.n_kv_heads + h) * head_dim;
      transform(row.subspan(key_at, head_dim), op.k_norm, std::span(head).first(head_dim));
      round_row(std::span(head).first(head_dim), cache.key(op.layer, h, slot).data());
      round_row(row.subspan(value_at, head_dim), cache.value(op.layer, h, slot).data());
    }
  }
  return {};
}

Result<void> Kernels::run(const Attention& op, const HostFrame& frame) {
  omp_set_num_threads(n_threads_);
  return attend(op, frame, pool(frame), n_threads_, attention_scratch_.as<float>());
}

Result<void> Kernels::run(const Route&, const HostFrame&) {
  return Error{ErrorCode::kUnsupported, "oneDNN has no router"};
}

Result<void> Kernels::run(const GroupedMatmul&, const HostFrame&) {
  return Error{ErrorCode::kUnsupported, "oneDNN has no grouped product"};
}

Result<void> Kernels::run(const AllReduce&, const HostFrame&) {
  return Error{ErrorCode::kUnsupported, "all_reduce is reserved"};
}

OpGroup Kernels::describe(const Op& op, std::int32_t op_index, const Bucket&) const {
  const auto* const matmul = std::get_if<Matmul>(&op);
  if (matmul == nullptr) return {{op_index}, fmt::format("own {}_f32_openmp", op_name(op)), ""};
  const Weight& weight = weights_.at(matmul->weight);
  const std::string own = weight.note + (matmul->softcap > 0.0F ? ", own softcap" : "");
  switch (weight.product) {
    case ProductType::kF32:
      return {{op_index}, fmt::format("onednn matmul_f32_f32acc{}", own), weight.fallback};
    case ProductType::kBf16:
      return {{op_index}, fmt::format("onednn matmul_bf16_f32acc{}", own), weight.fallback};
    case ProductType::kInt8:
      return {{op_index}, fmt::format("onednn matmul_s8s8_s32acc, own epilogue{}", own), weight.fallback};
  }
  return {{op_index}, "unknown", ""};
}

}  // namespace secondsource::onednn
