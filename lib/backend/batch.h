#pragma once
// The inputs that change from step to step: token ids, positions, cache slots. A Step checks only their counts against
// its Bucket; check_batch() is the full check, for tests and debug builds.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/result.h"

namespace secondsource {

/// The upper bounds for which a Step is compiled.
struct Bucket {
  std::int32_t max_tokens = 0;
  std::int32_t max_seqs = 0;
  std::int32_t max_logit_rows = 0;
  std::int32_t max_pages_per_seq = 0;
};

/// How the next token of one logit row is chosen (backend_kit/sampling.h defines the rule).
struct SamplingParams {
  float temperature = 0.0F;  ///< 0: greedy; ties go to the lowest id
  std::int32_t top_k = 0;    ///< 0: all tokens
  float top_p = 1.0F;
  std::uint64_t seed = 0;
  std::int64_t position = 0;       ///< the random number depends only on (seed, position)
  std::int32_t forced_id = -1;     ///< >= 0: take this id and report its log-probability (golden runs)
  std::int32_t forbidden_id = -1;  ///< >= 0: never choose this id (timed runs ignore the end of text)
};

/// The inputs of one step. The spans borrow their data, which must live until wait() has returned.
struct Batch {
  std::span<const std::int32_t> token_ids;   ///< [T]; -1 = the last sampled id of this sequence, which the device keeps
  std::span<const std::int32_t> positions;   ///< [T]
  std::span<const std::int32_t> kv_slots;    ///< [T]; page * page_tokens + offset; -1 = padding row
  std::span<const std::int32_t> q_starts;    ///< [S + 1]; tokens of sequence s: [q_starts[s], q_starts[s + 1])
  std::span<const std::int32_t> kv_lengths;  ///< [S]; tokens in the cache after this step
  std::span<const std::int32_t> block_table;  ///< [S, max_pages_per_seq] page ids, row-major
  std::span<const std::int32_t> seq_slots;    ///< [S]; the device slot that keeps the sequence's last sampled id
  std::span<const std::int32_t> logit_rows;   ///< [L]; indices into the tokens
  std::span<const SamplingParams> sampling;   ///< [L]
  std::int32_t max_pages_per_seq = 0;         ///< row length of block_table

  [[nodiscard]] std::int32_t n_tokens() const { return static_cast<std::int32_t>(token_ids.size()); }
  [[nodiscard]] std::int32_t n_seqs() const { return static_cast<std::int32_t>(kv_lengths.size()); }
  [[nodiscard]] std::int32_t n_logit_rows() const { return static_cast<std::int32_t>(logit_rows.size()); }
};

/// Checks that the counts agree with each other and with the bucket, as submit() does. Errors: kInvalidInput.
Result<void> check_batch_counts(const Batch& batch, const Bucket& bucket);

/// Also checks every index: token ids < vocab_size, slots and pages inside the cache, positions ascending per sequence.
Result<void> check_batch(const Batch& batch, const Bucket& bucket, std::int32_t vocab_size, std::int32_t page_tokens,
                         std::int64_t n_pages);

struct TokenLogprob {
  std::int32_t id = -1;
  float logprob = 0.0F;
};

/// The result of one logit row.
struct SampledToken {
  std::int32_t id = -1;
  float logprob = 0.0F;           ///< natural logarithm of the model's own probability (temperature 1) of `id`
  bool finite = true;             ///< false: the logits contain a NaN or infinity, and `id` is meaningless
  std::vector<TokenLogprob> top;  ///< the n_top most likely tokens, best first
};

/// Time of one group of operations in a traced step (GroupTiming::kOn).
struct GroupTime {
  std::int32_t group = 0;  ///< index into Step::groups()
  std::int64_t ns = 0;
};

struct StepResult {
  std::vector<SampledToken> tokens;  ///< [L]
  std::vector<float> logits;         ///< [L, vocab_size] if Sample::keep_logits, otherwise empty
  bool made_ready = false;     ///< submit() had to do the work of Step::make_ready(), so this step is not a sample
  std::int64_t device_ns = 0;  ///< from the start of the first operation to the end of the last, on the device's clock
  /// Time to copy the batch to the device and the result back, on the same clock; not included in device_ns. Empty if
  /// memory is shared and nothing is copied.
  std::optional<std::int64_t> transfer_ns = {};
  std::vector<GroupTime> groups;  ///< filled by traced steps
};

}  // namespace secondsource
