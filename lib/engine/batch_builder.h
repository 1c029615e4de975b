#pragma once
// Turns a StepPlan into the arrays of a Batch. The arrays are reused from step to step, so that a steady state
// allocates nothing.

#include <cstdint>
#include <span>
#include <vector>

#include "backend/batch.h"
#include "engine/scheduler.h"

namespace secondsource {

/// Which token of which sequence one logit row belongs to.
struct LogitRow {
  Sequence* sequence = nullptr;
  std::int64_t position = 0;  ///< of the token that goes in; the row is about the token at position + 1
};

class BatchBuilder {
 public:
  /// The batch of `plan`; borrows this builder until the next call.
  Batch build(const StepPlan& plan);
  /// One entry a logit row of the last batch.
  [[nodiscard]] std::span<const LogitRow> rows() const { return rows_; }

 private:
  void clear();
  void add_tokens(const Chunk& chunk, std::int32_t slot_pages);
  void add_rows(const Chunk& chunk, std::int32_t first_token_index);

  std::vector<std::int32_t> token_ids_, positions_, kv_slots_, q_starts_, kv_lengths_, block_table_, seq_slots_,
      logit_rows_;
  std::vector<SamplingParams> sampling_;
  std::vector<LogitRow> rows_;
};

}  // namespace secondsource
