#include "gpu/host/sample_results.h"

#include <algorithm>

namespace secondsource::gpu {

Result<SampleResults> SampleResults::create(DeviceMemory& memory, const Sample& op, const Bucket& bucket,
                                            std::int32_t n_logits) {
  SampleResults results;
  results.is_there_ = true;
  results.keeps_logits_ = op.keep_logits;
  results.max_rows_ = bucket.max_logit_rows;
  results.n_top_ = std::min(op.n_top, n_logits);
  results.n_logits_ = n_logits;
  results.sampled_bytes_ = static_cast<std::size_t>(bucket.max_logit_rows) *
                           (sizeof(SampledRow) + static_cast<std::size_t>(results.n_top_) * sizeof(TokenLogprob));
  SS_TRY(results.sampled_, memory.allocate(MemoryPurpose::kWorkspace, results.sampled_bytes_));
  // The whole buffer is copied to the host, including rows that a step does not have and the top tokens of a row that is
  // not finite, which no kernel writes.
  if (results.sampled_bytes_ > 0) SS_TRY_VOID(memory.stream().fill(results.sampled_.data(), 0, results.sampled_bytes_));
  return results;
}

std::size_t SampleResults::pinned_bytes() const {
  const std::size_t logits =
      keeps_logits_ ? static_cast<std::size_t>(max_rows_) * static_cast<std::size_t>(n_logits_) * sizeof(float) : 0;
  return sampled_bytes_ + logits;
}

TokenLogprob* SampleResults::top() const {
  return reinterpret_cast<TokenLogprob*>(rows() + max_rows_);
}

Result<void> SampleResults::pull(Stream& stream, const float* logits, std::int32_t n_rows,
                                 const DeviceBuffer& pinned) const {
  if (!is_there_ || n_rows <= 0) return {};
  SS_TRY_VOID(stream.copy(pinned.data(), sampled_.data(), sampled_bytes_));
  if (!keeps_logits_) return {};
  return stream.copy(pinned.data() + sampled_bytes_, logits,
                     static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(n_logits_) * sizeof(float));
}

void SampleResults::read(const DeviceBuffer& pinned, std::int32_t n_rows, StepResult& result) const {
  if (!is_there_) return;
  const auto* const rows = pinned.as<const SampledRow>();
  const auto* const top = reinterpret_cast<const TokenLogprob*>(rows + max_rows_);
  const auto n_top = static_cast<std::size_t>(n_top_);
  for (std::size_t row = 0; row < static_cast<std::size_t>(n_rows); ++row) {
    SampledToken token{.id = rows[row].id, .logprob = rows[row].logprob, .finite = rows[row].finite != 0, .top = {}};
    if (token.finite) token.top.assign(top + row * n_top, top + (row + 1) * n_top);
    result.tokens.push_back(std::move(token));
  }
  if (!keeps_logits_) return;
  const auto* const logits = reinterpret_cast<const float*>(pinned.data() + sampled_bytes_);
  result.logits.assign(logits, logits + static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(n_logits_));
}

}  // namespace secondsource::gpu
