#pragma once
// A batch with storage of its own, and the plainest one there is.

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "backend/batch.h"

namespace secondsource::test {

/// A Batch with storage of its own.
struct BatchData {
  std::vector<std::int32_t> token_ids;
  std::vector<std::int32_t> positions;
  std::vector<std::int32_t> kv_slots;
  std::vector<std::int32_t> q_starts = {0};
  std::vector<std::int32_t> kv_lengths;
  std::vector<std::int32_t> block_table;
  std::vector<std::int32_t> seq_slots;
  std::vector<std::int32_t> logit_rows;
  std::vector<SamplingParams> sampling;
  std::int32_t max_pages_per_seq = 1;

  [[nodiscard]] Batch view() const {
    return {.token_ids = token_ids,
            .positions = positions,
            .kv_slots = kv_slots,
            .q_starts = q_starts,
            .kv_lengths = kv_lengths,
            .block_table = block_table,
            .seq_slots = seq_slots,
            .logit_rows = logit_rows,
            .sampling = sampling,
            .max_pages_per_seq = max_pages_per_seq};
  }
};

/// Tokens that are in no cache, for steps without attention.
inline BatchData uncached_tokens(std::vector<std::int32_t> ids) {
  BatchData batch;
  batch.token_ids = std::move(ids);
  batch.positions.assign(batch.token_ids.size(), 0);
  batch.kv_slots.assign(batch.token_ids.size(), -1);
  batch.q_starts = {0, 0};
  batch.kv_lengths = {1};
  batch.block_table = {0};
  batch.seq_slots = {0};
  return batch;
}

/// The same of the ids 0, 1, 2, ...
inline BatchData uncached_tokens(std::int32_t n_tokens) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(n_tokens));
  std::iota(ids.begin(), ids.end(), 0);
  return uncached_tokens(std::move(ids));
}

}  // namespace secondsource::test
