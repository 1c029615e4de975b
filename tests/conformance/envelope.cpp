#include "conformance/envelope.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/op_access.h"
#include "core/half.h"
#include "reference/backend.h"
#include "reference/matmul.h"

namespace secondsource::conformance {
namespace {

using reference::KvPool;
using reference::ReferenceBackend;
using reference::ReferenceKernels;

void round_all(std::span<float> values) {
  for (float& value : values) value = round_to_bf16(value);
}

/// Runs `call` with the value rounded, and puts the exact one back: other operations read it too.
template <typename Call>
Result<void> with_rounded(MatrixView<float> value, const Call& call) {
  std::vector<float> exact(value.data(), value.data() + value.rows() * value.cols());
  round_all({value.data(), exact.size()});
  auto result = call();
  std::ranges::copy(exact, value.data());
  return result;
}

/// Does the value come straight from a table?
bool is_embedded(const StepGraph& graph, ValueId value) {
  bool embedded = false;
  for (const Op& op : graph.ops) {
    const OpAccess access = op_access(op);
    if (std::ranges::find(access.writes, value) != access.writes.end()) embedded = std::holds_alternative<Embed>(op);
  }
  return embedded;
}

class EnvelopeKernels final : public ReferenceKernels {
 public:
  /// `rounded` holds the same weights as `weights` by the same ids, matrices rounded.
  EnvelopeKernels(const reference::Weights& weights, const reference::Weights& rounded, std::vector<KvPool>& pools)
      : ReferenceKernels(weights, pools), products_(rounded, pools) {}
  using ReferenceKernels::run;

  Result<void> run(const Matmul& op, const HostFrame& frame) override { return run_product(op, frame); }
  Result<void> run(const GroupedMatmul& op, const HostFrame& frame) override { return run_product(op, frame); }
  Result<void> run(const RopeAppend& op, const HostFrame& frame) override {
    SS_TRY_VOID(ReferenceKernels::run(op, frame));
    KvPool& cache = pool(frame);
    for (const std::int32_t slot : frame.batch.kv_slots) {
      if (slot < 0) continue;
      round_all(cache.keys(op.layer, slot));
      round_all(cache.values(op.layer, slot));
    }
    return {};
  }
  Result<void> run(const Attention& op, const HostFrame& frame) override;

 private:
  template <typename Product>
  Result<void> run_product(const Product& op, const HostFrame& frame) {
    // Quantized activations are integers and a scale: there is nothing left to round. But where they were computed and
    // not looked up, the last bit of an input decides between two integers, so a backend may be a quantum off.
    if (op.act != ActQuant::kNone && is_embedded(frame.graph, op.x)) return ReferenceKernels::run(op, frame);
    return with_rounded(frame.value(op.x), [&] { return products_.run(op, frame); });
  }

  ReferenceKernels products_;
};

/// One head of one token over the slots it sees, with rounded query and weights.
void attend(std::span<const float> query, std::span<const std::span<const float>> keys,
            std::span<const std::span<const float>> values, const Attention& op, std::span<float> out) {
  std::vector<double> scores(keys.size());
  double largest = -INFINITY;
  for (std::size_t j = 0; j < keys.size(); ++j) {
    double product = 0.0;
    for (std::size_t d = 0; d < query.size(); ++d) {
      product += static_cast<double>(round_to_bf16(query[d])) * static_cast<double>(keys[j][d]);
    }
    scores[j] = reference::soft_cap(static_cast<double>(op.scale) * product, op.softcap);
    largest = std::max(largest, scores[j]);
  }
  double sum = 0.0;
  for (double& score : scores) {
    score = std::exp(score - largest);
    sum += score;
  }
  std::vector<double> result(out.size());
  for (std::size_t j = 0; j < keys.size(); ++j) {
    const auto weight = static_cast<double>(round_to_bf16(static_cast<float>(scores[j])));
    for (std::size_t d = 0; d < out.size(); ++d) result[d] += weight * static_cast<double>(values[j][d]);
  }
  for (std::size_t d = 0; d < out.size(); ++d) out[d] = static_cast<float>(result[d] / sum);
}

Result<void> EnvelopeKernels::run(const Attention& op, const HostFrame& frame) {
  const MatrixView<float> q = frame.value(op.q);
  const MatrixView<float> out = frame.value(op.out);
  const Batch& batch = frame.batch;
  KvPool& cache = pool(frame);
  const std::int32_t page_tokens = cache.spec().page_tokens;
  const auto head_dim = static_cast<std::size_t>(op.heads.head_dim);
  for (std::size_t seq = 0; seq < batch.kv_lengths.size(); ++seq) {
    for (std::int64_t t = batch.q_starts[seq]; t < batch.q_starts[seq + 1]; ++t) {
      const std::int32_t position = batch.positions[static_cast<std::size_t>(t)];
      for (std::int32_t head = 0; head < op.heads.n_heads; ++head) {
        const std::size_t kv_at = static_cast<std::size_t>(head / (op.heads.n_heads / op.heads.n_kv_heads)) * head_dim;
        std::vector<std::span<const float>> keys;
        std::vector<std::span<const float>> values;
        for (std::int32_t j = op.window > 0 ? std::max(0, position - op.window + 1) : 0; j <= position; ++j) {
          const std::int32_t page = batch.block_table[seq * static_cast<std::size_t>(batch.max_pages_per_seq) +
                                                      static_cast<std::size_t>(j / page_tokens)];
          const std::int64_t slot = std::int64_t{page} * page_tokens + j % page_tokens;
          keys.push_back(cache.keys(op.layer, slot).subspan(kv_at, head_dim));
          values.push_back(cache.values(op.layer, slot).subspan(kv_at, head_dim));
        }
        const std::size_t q_at = static_cast<std::size_t>(head) * head_dim;
        attend(q.row(t).subspan(q_at, head_dim), keys, values, op, out.row(t).subspan(q_at, head_dim));
      }
    }
  }
  for (std::int64_t t = batch.q_starts.back(); t < out.rows(); ++t) std::ranges::fill(out.row(t), 0.0F);
  return {};
}

/// Values that are there already, rounded.
class RoundedSource final : public WeightSource {
 public:
  RoundedSource(std::span<const float> values, std::int64_t n_cols) : values_(values), n_cols_(n_cols) {}
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float>) const override {
    std::vector<float> rounded(static_cast<std::size_t>(n_rows * n_cols_));
    std::copy_n(values_.begin() + first_row * n_cols_, rounded.size(), rounded.begin());
    round_all(rounded);
    std::memcpy(values.data(), rounded.data(), values.size());
    return {};
  }

 private:
  std::span<const float> values_;
  std::int64_t n_cols_;
};

class EnvelopeBackend final : public ReferenceBackend {
 public:
  explicit EnvelopeBackend(const DeviceInfo& device) : ReferenceBackend(device, {}) {
    set_kernels(std::make_unique<EnvelopeKernels>(weights(), rounded_, pools()));
  }
  Result<WeightId> prepare_weight(const WeightSpec& spec) override {
    SS_TRY(const WeightId id, ReferenceBackend::prepare_weight(spec));
    if (spec.n_rows == 1) return rounded_.prepare(spec);  // norm weights and biases are not inputs of a product
    WeightSpec rounded = spec;
    rounded.encoding = WeightEncoding::kF32;
    rounded.parts.clear();
    // The parts as they are, over the joined values.
    std::int64_t first_row = 0;
    for (const WeightPart& part : spec.parts) {
      const auto offset = static_cast<std::size_t>(first_row * spec.n_cols);
      rounded.parts.push_back(
          {part.n_rows, std::make_shared<RoundedSource>(weights().values(id).subspan(offset), spec.n_cols)});
      first_row += part.n_rows;
    }
    return rounded_.prepare(rounded);
  }

 private:
  MemoryAccount account_;
  reference::Weights rounded_{account_};
};

DeviceInfo expected_device() {
  return std::move(reference::devices()).value().front();
}

}  // namespace

std::unique_ptr<Backend> make_envelope_backend() {
  return std::make_unique<EnvelopeBackend>(expected_device());
}

std::unique_ptr<Backend> make_expected_backend() {
  return std::make_unique<ReferenceBackend>(expected_device(), EagerOptions{.guards = true});
}

}  // namespace secondsource::conformance
