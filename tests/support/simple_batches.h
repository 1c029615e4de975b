#pragma once
// Minimal batches for steps without attention.

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "backend/batch_storage.h"

namespace secondsource::test {

/// A batch of tokens that are not in the cache.
inline BatchStorage uncached_tokens(std::vector<std::int32_t> ids) {
  BatchStorage batch;
  batch.token_ids = std::move(ids);
  batch.positions.assign(batch.token_ids.size(), 0);
  batch.kv_slots.assign(batch.token_ids.size(), -1);
  batch.q_starts = {0, 0};
  batch.kv_lengths = {1};
  batch.block_table = {0};
  batch.seq_slots = {0};
  return batch;
}

/// The same for the ids 0, 1, 2, ...
inline BatchStorage uncached_tokens(std::int32_t n_tokens) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(n_tokens));
  std::iota(ids.begin(), ids.end(), 0);
  return uncached_tokens(std::move(ids));
}

}  // namespace secondsource::test
