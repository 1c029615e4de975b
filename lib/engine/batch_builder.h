#pragma once
// Turns a StepPlan into the arrays of a Batch. The arrays are reused from step to step, so that the steady state
// allocates no memory.

#include <cstdint>
#include <span>
#include <vector>

#include "backend/batch_storage.h"
#include "engine/scheduler.h"

namespace secondsource {

/// The sequence and token to which a row of logits belongs.
struct LogitRow {
  Sequence* sequence = nullptr;
  std::int64_t position = 0;  ///< position of the input token; the row predicts the token at position + 1
};

class BatchBuilder {
 public:
  /// Builds the batch of `plan`. The batch refers to this builder's arrays and is valid until the next call.
  Batch build(const StepPlan& plan);
  /// One entry per row of logits in the last batch.
  [[nodiscard]] std::span<const LogitRow> rows() const { return rows_; }

 private:
  void clear();
  void add_tokens(const Chunk& chunk);
  void add_rows(const Chunk& chunk, std::int32_t first_token_index);

  BatchStorage batch_;
  std::vector<LogitRow> rows_;
};

}  // namespace secondsource
