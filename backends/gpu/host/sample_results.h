#pragma once
// The results of a step's Sample operation: a buffer in device memory that the kernel writes, and its layout in the pinned
// buffer that the host reads. The pinned buffer holds SampledRow [L], TokenLogprob [L, n_top] and, if the operation
// keeps them, the logits [rows, vocab_size].

#include "gpu/host/backend.h"

namespace secondsource::gpu {

class SampleResults {
 public:
  /// Without an operation. All sizes are zero.
  SampleResults() = default;
  /// `n_logits`: columns of the logits. Errors: kOutOfMemory.
  static Result<SampleResults> create(DeviceMemory& memory, const Sample& op, const Bucket& bucket,
                                      std::int32_t n_logits);

  /// What a pinned buffer for pull() needs.
  [[nodiscard]] std::size_t pinned_bytes() const;
  [[nodiscard]] SampledRow* rows() const { return sampled_.as<SampledRow>(); }  ///< device memory, [L]
  [[nodiscard]] TokenLogprob* top() const;                                      ///< device memory, [L, n_top]
  [[nodiscard]] std::int32_t n_top() const { return n_top_; }

  /// Enqueues the copy of the results of `n_rows` rows to pinned memory. `logits`: their device address.
  Result<void> pull(Stream& stream, const float* logits, std::int32_t n_rows, const DeviceBuffer& pinned) const;
  /// Appends the results of `n_rows` rows in pinned memory to `result`, once the copy is done.
  void read(const DeviceBuffer& pinned, std::int32_t n_rows, StepResult& result) const;

 private:
  DeviceBuffer sampled_;
  std::size_t sampled_bytes_ = 0;
  std::int32_t max_rows_ = 0;
  std::int32_t n_top_ = 0;
  std::int32_t n_logits_ = 0;
  bool is_there_ = false;
  bool keeps_logits_ = false;
};

}  // namespace secondsource::gpu
