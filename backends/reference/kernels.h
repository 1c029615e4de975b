#pragma once
// The arithmetic of the oracle: plain loops on one thread, sums in f64, each result rounded to f32 once. It defines what
// the operations of op.h mean. The bits of a result depend on its own row only, never on the rest of the batch.

#include <vector>

#include "backend_kit/eager_step.h"
#include "reference/kv_pool.h"
#include "reference/weights.h"

namespace secondsource::reference {

/// Virtual so that tests can plant a bug in one operation and check that a suite finds it.
class ReferenceKernels : public HostKernels {
 public:
  /// Both must outlive this.
  ReferenceKernels(const Weights& weights, std::vector<KvPool>& pools) : weights_(weights), pools_(pools) {}

  Result<void> run(const Embed& op, const HostFrame& frame) override;
  Result<void> run(const RmsNorm& op, const HostFrame& frame) override;
  Result<void> run(const Matmul& op, const HostFrame& frame) override;
  Result<void> run(const RopeAppend& op, const HostFrame& frame) override;
  Result<void> run(const LatentAppend& op, const HostFrame& frame) override;
  Result<void> run(const HeadMatmul& op, const HostFrame& frame) override;
  Result<void> run(const Attention& op, const HostFrame& frame) override;
  Result<void> run(const SelectColumns& op, const HostFrame& frame) override;
  Result<void> run(const Route& op, const HostFrame& frame) override;
  Result<void> run(const GroupedMatmul& op, const HostFrame& frame) override;
  [[nodiscard]] OpGroup describe(const Op& op, std::int32_t op_index, std::int64_t n_rows) const override;

 protected:
  [[nodiscard]] KvPool& pool(const HostFrame& frame) const {
    return pools_[static_cast<std::size_t>(index_of(frame.pool))];
  }
  [[nodiscard]] const Weights& weights() const { return weights_; }
  /// Called with the sums of a product that multiply_rows() made of `x` and `weight`, before the epilogue. The oracle leaves
  /// them as they are, in f64; the envelope adds what sums in f32 may be off by.
  virtual void round_sums(MatrixView<const double> /*x*/, std::span<const float> /*weight*/, ActQuant /*act*/,
                          std::span<double> /*sums*/) const {}
  /// Called with the weights exp(score - row_max) of one query and head, before they multiply the values and are divided
  /// by their sum. The oracle does not round them; the envelope of what backends may round does.
  virtual void round_softmax_weights(std::span<double>) const {}
  /// Called with the keys or values of one token and head, before the cache rounds them to its type.
  virtual void round_cache_row(std::span<float>) const {}

 private:
  /// Sorts the experts, 0 .. n_experts - 1, so that those which a row chooses come first. `scores`: one for each expert.
  void sort_experts(const Route& op, std::span<const double> scores, std::span<std::int32_t> order) const;

  const Weights& weights_;
  std::vector<KvPool>& pools_;
};

}  // namespace secondsource::reference
