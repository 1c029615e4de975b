#pragma once
// One operation on one backend, compiled once, compared with the reference, and run again and again. Everything goes
// through the backend boundary, so that any backend can be measured.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "bench_case.h"
#include "timed_step.h"

namespace secondsource::kernel_bench {

using MakeBackend = std::function<Result<std::unique_ptr<Backend>>()>;

/// The result of one repetition.
struct TimedRepeat {
  std::int64_t ns = 0;            ///< of the operation alone (timed_step.h)
  std::int64_t n_operations = 0;  ///< how often the operation ran in that time
};

/// The work of one operation, and how many of them one step has.
struct OperationWork {
  double bytes = 0;  ///< that it must read: weights, or keys and values, each once
  double flops = 0;  ///< a multiply-add counts as two
  /// Read again and again by repetitions: all copies of a weight, the chosen experts, or the KV cache.
  double working_set_bytes = 0;
  std::int64_t n_per_step = 1;
};

/// A compiled and verified step that can be repeated. It keeps its backend alive.
class PreparedCase {
 public:
  PreparedCase(std::shared_ptr<Backend> backend, TimedStep step, const OperationWork& work)
      : backend_(std::move(backend)), step_(std::move(step)), work_(work) {}
  /// Submits the step and waits. Errors: those of TimedStep::run().
  Result<TimedRepeat> repeat() {
    SS_TRY(const std::int64_t ns, step_.run());
    return TimedRepeat{ns, work_.n_per_step};
  }
  [[nodiscard]] const OperationWork& work() const { return work_; }
  [[nodiscard]] std::string kernel() const { return step_.kernels(); }  ///< as the backend names it
  [[nodiscard]] const Backend& backend() const { return *backend_; }

 private:
  std::shared_ptr<Backend> backend_;  // outlives the step
  TimedStep step_;
  OperationWork work_;
};

/// On a device with its own memory, repetitions of a product or of attention read at least this much in turn: twice the
/// largest last-level cache of a GPU (256 MiB, MI300X).
inline constexpr std::int64_t kMinRotatedDeviceBytes = std::int64_t{512} << 20;

/// Copies of one product's weight, which are multiplied in turn: together at least `min_bytes`, so that a small matrix
/// is read from memory and not from a cache. All row counts share them.
class MatmulWeights {
 public:
  static Result<std::shared_ptr<MatmulWeights>> prepare(const MakeBackend& make, const MatmulShape& shape,
                                                        const ProductVariant& variant, std::int64_t min_bytes);
  [[nodiscard]] Backend& backend() const { return *backend_; }
  [[nodiscard]] const std::vector<WeightId>& copies() const { return copies_; }
  /// The source of the first copy, which is the one that is verified.
  [[nodiscard]] const std::shared_ptr<const WeightSource>& first_source() const { return first_source_; }
  [[nodiscard]] KvPoolId pool() const { return pool_; }
  [[nodiscard]] WeightId inputs() const { return inputs_; }

 private:
  std::unique_ptr<Backend> backend_;
  std::shared_ptr<const WeightSource> first_source_;
  std::vector<WeightId> copies_;
  WeightId inputs_{};
  KvPoolId pool_{};
};

/// Compiles the product for m rows and compares a sample of its results with the reference: the first copy, up to 8
/// rows and 64 columns. Errors: kUnsupported; kInternal when the results are wrong.
Result<std::unique_ptr<PreparedCase>> prepare_matmul(const std::shared_ptr<MatmulWeights>& weights,
                                                     const MatmulShape& shape, const ProductVariant& variant,
                                                     std::int32_t m, const MakeBackend& reference);

/// The same for a product of a mixture's experts; a random gate routes all tokens. There is one copy of the weights, so
/// with few rows the experts may be read from a cache if they fit into it.
Result<std::unique_ptr<PreparedCase>> prepare_mixture(const MakeBackend& make, const MixtureShape& shape,
                                                      const ProductVariant& variant, std::int32_t m,
                                                      const MakeBackend& reference);

/// The same for attention over a cache filled through RopeAppend; up to 4 tokens of a sequence are compared. On a device the
/// cache has so many layers that they are read from memory.
Result<std::unique_ptr<PreparedCase>> prepare_attention(const MakeBackend& make, const AttentionShape& shape,
                                                        const MakeBackend& reference);

}  // namespace secondsource::kernel_bench
