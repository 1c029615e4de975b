#pragma once
// A batch of tokens that are in no cache, all of one sequence: for steps without attention.

#include <cstdint>
#include <numeric>
#include <vector>

#include "backend/batch.h"

namespace secondsource::test {

class UncachedTokens {
 public:
  explicit UncachedTokens(std::vector<std::int32_t> ids)
      : ids_(std::move(ids)), positions_(ids_.size(), 0), slots_(ids_.size(), -1) {}
  /// 0, 1, 2, ...
  static UncachedTokens counted(std::int32_t n_tokens) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(n_tokens));
    std::iota(ids.begin(), ids.end(), 0);
    return UncachedTokens(std::move(ids));
  }

  [[nodiscard]] Batch view() const {
    return {.token_ids = ids_,
            .positions = positions_,
            .kv_slots = slots_,
            .q_starts = starts_,
            .kv_lengths = one_,
            .block_table = zero_,
            .seq_slots = zero_,
            .logit_rows = {},
            .sampling = {},
            .max_pages_per_seq = 1};
  }

 private:
  std::vector<std::int32_t> ids_, positions_, slots_;
  std::vector<std::int32_t> starts_ = {0, 0}, one_ = {1}, zero_ = {0};
};

}  // namespace secondsource::test
