#include <fmt/format.h>

#include <algorithm>

#include "core/checked.h"
#include "harness.h"
#include "harness_support.h"
#include "product_graph.h"
#include "random_weight.h"
#include "timed_step.h"

namespace secondsource::kernel_bench {
namespace {

constexpr std::int64_t kCheckedRows = 8;
constexpr std::int64_t kCheckedColumns = 64;

struct Sample {
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> columns;
};

/// The reference's results at the sampled rows and columns, [rows, columns].
Result<std::vector<float>> expected_results(const MakeBackend& reference, const MatmulWeights& weights,
                                            const MatmulShape& shape, const ProductVariant& variant,
                                            const Sample& sample) {
  SS_TRY(const std::unique_ptr<Backend> backend, reference());
  const auto n_columns = static_cast<std::int64_t>(sample.columns.size());
  const auto inputs = std::make_shared<RandomWeight>(WeightEncoding::kF32, shape.k, kInputSeed);
  SS_TRY(const WeightId table,
         backend->prepare_weight(matrix_spec("inputs", kMaxProductRows, shape.k, WeightEncoding::kF32, inputs)));
  const auto picked = std::make_shared<PickedRows>(weights.first_source(), sample.columns, variant.encoding, shape.k);
  SS_TRY(const WeightId weight,
         backend->prepare_weight(matrix_spec("sample", n_columns, shape.k, variant.encoding, picked)));
  SS_TRY(const KvPoolId pool, smallest_pool(*backend));
  const OwnedBatch batch = rows_batch(sample.rows);
  const StepGraph graph = product_graph(shape, variant.act, table, {weight}, n_columns);
  SS_TRY(const std::unique_ptr<Step> step, backend->compile(graph, batch.bucket(), pool, GroupTiming::kOff));
  SS_TRY(const StepResult done, run_step(*backend, *step, batch));
  (void)done;
  return step->read_value(ValueId{1});
}

Result<void> verify(const MakeBackend& reference, const MatmulWeights& weights, const MatmulShape& shape,
                    const ProductVariant& variant, const Step& step, std::int32_t m) {
  const Sample sample{sample_of(m, kCheckedRows), sample_of(shape.n, kCheckedColumns)};
  SS_TRY(const std::vector<float> all, step.read_value(ValueId{1}));
  SS_TRY(const std::vector<float> expected, expected_results(reference, weights, shape, variant, sample));
  const RandomWeight inputs(WeightEncoding::kF32, shape.k, kInputSeed);
  SS_TRY(const std::vector<double> x_norms, row_norms(inputs, WeightEncoding::kF32, shape.k, sample.rows));
  SS_TRY(const std::vector<double> w_norms,
         row_norms(*weights.first_source(), variant.encoding, shape.k, sample.columns));
  std::vector<float> found;
  std::vector<double> tolerance;
  for (std::size_t r = 0; r < sample.rows.size(); ++r) {
    for (std::size_t c = 0; c < sample.columns.size(); ++c) {
      found.push_back(all[static_cast<std::size_t>(sample.rows[r] * shape.n + sample.columns[c])]);
      tolerance.push_back(kProductTolerance * x_norms[r] * w_norms[c]);
    }
  }
  return check_close(found, expected, tolerance, fmt::format("product k={} n={} m={}", shape.k, shape.n, m));
}

}  // namespace

Result<std::shared_ptr<MatmulWeights>> MatmulWeights::prepare(const MakeBackend& make, const MatmulShape& shape,
                                                              const ProductVariant& variant, std::int64_t min_bytes) {
  auto weights = std::make_shared<MatmulWeights>();
  SS_TRY(weights->backend_, make());
  if (const Support support = weights->backend_->supports_weight(variant.encoding, variant.act); !support.supported) {
    return Error{ErrorCode::kUnsupported, support.reason};
  }
  const std::int64_t most = weights->backend_->device().is_host ? 64 : 1024;
  const std::int64_t n_copies = std::clamp<std::int64_t>(
      ceil_divide(min_bytes, static_cast<std::int64_t>(encoded_bytes(variant.encoding, shape.n, shape.k))), 1, most);
  for (std::int64_t copy = 0; copy < n_copies; ++copy) {
    const auto source =
        std::make_shared<RandomWeight>(variant.encoding, shape.k, 100 + static_cast<std::uint64_t>(copy));
    SS_TRY(const WeightId id, weights->backend_->prepare_weight(matrix_spec(fmt::format("copy.{}", copy), shape.n,
                                                                            shape.k, variant.encoding, source)));
    weights->copies_.push_back(id);
    if (copy == 0) weights->first_source_ = source;
  }
  const auto inputs = std::make_shared<RandomWeight>(WeightEncoding::kF32, shape.k, kInputSeed);
  SS_TRY(weights->inputs_, weights->backend_->prepare_weight(
                               matrix_spec("inputs", kMaxProductRows, shape.k, WeightEncoding::kF32, inputs)));
  SS_TRY(weights->pool_, smallest_pool(*weights->backend_));
  return weights;
}

Result<std::unique_ptr<PreparedCase>> prepare_matmul(const std::shared_ptr<MatmulWeights>& weights,
                                                     const MatmulShape& shape, const ProductVariant& variant,
                                                     std::int32_t m, const MakeBackend& reference) {
  OwnedBatch batch = rows_batch(first_rows(m));
  const StepGraph graph = product_graph(shape, variant.act, weights->inputs(), weights->copies(), shape.n);
  SS_TRY(TimedStep step, TimedStep::prepare(weights->backend(), graph, 1, std::move(batch), weights->pool()));
  SS_TRY_VOID(step.run());
  SS_TRY_VOID(verify(reference, *weights, shape, variant, step.step(), m));
  const double bytes = encoded_bytes(variant.encoding, shape.n, shape.k);
  const OperationWork work{.bytes = bytes,
                           .flops = 2.0 * m * static_cast<double>(shape.n) * static_cast<double>(shape.k),
                           .working_set_bytes = bytes * static_cast<double>(weights->copies().size()),
                           .n_per_step = static_cast<std::int64_t>(weights->copies().size())};
  // Points to the backend and keeps all of the weights' owner.
  std::shared_ptr<Backend> backend(weights, &weights->backend());
  return std::make_unique<PreparedCase>(std::move(backend), std::move(step), work);
}

}  // namespace secondsource::kernel_bench
