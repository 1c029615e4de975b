#pragma once
// What changes from step to step: token ids, positions, cache slots. Checked against the Step's Bucket by counts only;
// check_batch() is the full check, for tests and debug builds.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/result.h"

namespace secondsource {

/// Upper bounds that a Step is compiled for.
struct Bucket {
  std::int32_t max_tokens = 0;
  std::int32_t max_seqs = 0;
  std::int32_t max_logit_rows = 0;
  std::int32_t max_pages_per_seq = 0;
};

/// How the next token of one logit row is chosen (sampling.h has the rule).
struct SamplingParams {
  float temperature = 0.0F;  ///< 0: greedy, ties to the lowest id
  std::int32_t top_k = 0;    ///< 0: all
  float top_p = 1.0F;
  std::uint64_t seed = 0;
  std::int64_t position = 0;       ///< the random number is a function of (seed, position) alone
  std::int32_t forced_id = -1;     ///< >= 0: this id is taken, and its log-probability reported (golden runs)
  std::int32_t forbidden_id = -1;  ///< >= 0: never taken (timed runs ignore the end of text)
};

/// One step. Spans borrow and need to live until wait() returned.
struct Batch {
  std::span<const std::int32_t> token_ids;    ///< [T]; -1 = this sequence's last sampled id, which is on the device
  std::span<const std::int32_t> positions;    ///< [T]
  std::span<const std::int32_t> kv_slots;     ///< [T]; page * page_tokens + offset; -1 = padding row
  std::span<const std::int32_t> q_starts;     ///< [S + 1]; tokens of sequence s: [q_starts[s], q_starts[s + 1])
  std::span<const std::int32_t> kv_lengths;   ///< [S]; tokens in the cache after this step
  std::span<const std::int32_t> block_table;  ///< [S, max_pages_per_seq] page ids, row-major
  std::span<const std::int32_t> seq_slots;    ///< [S]; which device slot keeps the sequence's last sampled id
  std::span<const std::int32_t> logit_rows;   ///< [L]; indices into the tokens
  std::span<const SamplingParams> sampling;   ///< [L]
  std::int32_t max_pages_per_seq = 0;         ///< row length of block_table

  [[nodiscard]] std::int32_t n_tokens() const { return static_cast<std::int32_t>(token_ids.size()); }
  [[nodiscard]] std::int32_t n_seqs() const { return static_cast<std::int32_t>(kv_lengths.size()); }
  [[nodiscard]] std::int32_t n_logit_rows() const { return static_cast<std::int32_t>(logit_rows.size()); }
};

/// Counts agree with each other and with the bucket: what submit() checks. Errors: kInvalidInput.
Result<void> check_batch_counts(const Batch& batch, const Bucket& bucket);

/// Also every index is in range: token ids < vocab_size, slots and pages < n_pages, positions ascending per sequence.
Result<void> check_batch(const Batch& batch, const Bucket& bucket, std::int32_t vocab_size, std::int32_t page_tokens,
                         std::int64_t n_pages);

struct TokenLogprob {
  std::int32_t id = -1;
  float logprob = 0.0F;
};

/// What one logit row gave.
struct SampledToken {
  std::int32_t id = -1;
  float logprob = 0.0F;           ///< natural log of the model's own probability (temperature 1) of `id`
  bool finite = true;             ///< false: a NaN or infinity among the logits; `id` means nothing then
  std::vector<TokenLogprob> top;  ///< the n_top most likely, best first
};

/// Time of one group of operations in a traced step.
struct GroupTime {
  std::int32_t group = 0;  ///< index into Step::groups()
  std::int64_t ns = 0;
};

struct StepResult {
  std::vector<SampledToken> tokens;  ///< [L]
  std::vector<float> logits;         ///< [L, vocab_size] when Sample::keep_logits, else empty
  bool made_ready = false;           ///< submit() had to do what Step::make_ready() does: not a sample
  std::int64_t device_ns = 0;        ///< first operation started -> last finished, on the device's clock
  /// The batch on its way to the device and the result on its way back, on the same clock, neither in device_ns. Empty
  /// where memory is shared and nothing is copied.
  std::optional<std::int64_t> transfer_ns = {};
  std::vector<GroupTime> groups;  ///< filled by traced steps
};

}  // namespace secondsource
