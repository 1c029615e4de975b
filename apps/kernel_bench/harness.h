#pragma once
// One operation on one backend, prepared, checked against the reference, and run again and again. Everything goes
// through the boundary, so that any backend can be measured.

#include <functional>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "bench_case.h"

namespace secondsource {

using MakeBackend = std::function<Result<std::unique_ptr<Backend>>()>;

/// What one repetition did.
struct TimedRepeat {
  std::int64_t ns = 0;            ///< of the operation alone (timed_step.h)
  std::int64_t n_operations = 0;  ///< how often the operation ran in that time
};

/// A compiled step that can be repeated; its backend lives in it.
class PreparedCase {
 public:
  virtual ~PreparedCase() = default;
  /// Submits the step and waits.
  virtual Result<TimedRepeat> repeat() = 0;
  [[nodiscard]] virtual double bytes_per_operation() const = 0;
  [[nodiscard]] virtual double flops_per_operation() const = 0;
  [[nodiscard]] virtual std::string kernel() const = 0;  ///< as the backend names it
};

/// Weights of one product, in several copies that are multiplied in turn: together at least `min_bytes`, so that a
/// small matrix is read from memory and not from a cache. Shared by all row counts.
class MatmulWeights {
 public:
  static Result<std::shared_ptr<MatmulWeights>> prepare(const MakeBackend& make, const MatmulShape& shape,
                                                        const ProductVariant& variant, std::int64_t min_bytes);
  [[nodiscard]] Backend& backend() const { return *backend_; }
  [[nodiscard]] const std::vector<WeightId>& copies() const { return copies_; }
  [[nodiscard]] const std::vector<std::shared_ptr<const WeightSource>>& sources() const { return sources_; }
  [[nodiscard]] KvPoolId pool() const { return pool_; }
  [[nodiscard]] WeightId inputs() const { return inputs_; }

 private:
  std::unique_ptr<Backend> backend_;
  std::vector<std::shared_ptr<const WeightSource>> sources_;
  std::vector<WeightId> copies_;
  WeightId inputs_{};
  KvPoolId pool_{};
};

/// Compiles the product for m rows and compares a sample of its results with the reference: the first copy, up to 8
/// rows and 64 columns. Errors: kUnsupported; kInternal when the results are wrong.
Result<std::unique_ptr<PreparedCase>> prepare_matmul(std::shared_ptr<MatmulWeights> weights, const MatmulShape& shape,
                                                     const ProductVariant& variant, std::int32_t m,
                                                     const MakeBackend& reference);

/// The same for a product of a mixture's experts, all tokens being routed by a random gate: a sample of the results is
/// compared. One copy of the weight, so that few rows take their experts from a cache where those fit into it.
Result<std::unique_ptr<PreparedCase>> prepare_mixture(const MakeBackend& make, const MixtureShape& shape,
                                                      const ProductVariant& variant, std::int32_t m,
                                                      const MakeBackend& reference);

/// The same for attention, over a cache filled through RopeAppend; the reference looks at up to 4 tokens a sequence.
Result<std::unique_ptr<PreparedCase>> prepare_attention(const MakeBackend& make, const AttentionShape& shape,
                                                        const MakeBackend& reference);

}  // namespace secondsource
