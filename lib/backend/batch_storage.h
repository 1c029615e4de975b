#pragma once
// The arrays of a Batch, owned.

#include <cstdint>
#include <vector>

#include "backend/batch.h"

namespace secondsource {

struct BatchStorage {
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

  /// Borrows the arrays: valid until one of them changes.
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

}  // namespace secondsource
