#pragma once
// The arithmetic of a mutant, which is the reference's except for the one operation with the bug.

#include <set>
#include <vector>

#include "mutants.h"
#include "reference/kernels.h"

namespace secondsource::test {

class MutantKernels final : public reference::ReferenceKernels {
 public:
  /// `forked_pages` are the pages that a fork copied to; the set is shared with the backend.
  MutantKernels(Bug bug, const std::set<std::int32_t>& forked_pages, const reference::Weights& weights,
                std::vector<reference::KvPool>& pools)
      : ReferenceKernels(weights, pools), bug_(bug), forked_pages_(forked_pages) {}

  using ReferenceKernels::run;
  Result<void> run(const RmsNorm& op, const HostFrame& frame) override;
  Result<void> run(const Matmul& op, const HostFrame& frame) override;
  Result<void> run(const RopeAppend& op, const HostFrame& frame) override;
  Result<void> run(const Attention& op, const HostFrame& frame) override;

 private:
  Result<void> rotate_queries_at_next(const RopeAppend& op, const HostFrame& frame);
  Result<void> rotate_interleaved(const RopeAppend& op, const HostFrame& frame);
  Result<void> rotate_with_shifted_frequencies(const RopeAppend& op, const HostFrame& frame);
  Result<void> rotate_forks_one_back(const RopeAppend& op, const HostFrame& frame);
  Result<void> keep_stale_values(const RopeAppend& op, const HostFrame& frame);
  [[nodiscard]] std::vector<std::int32_t> visible_positions(std::int32_t position, std::int32_t kv_length,
                                                            std::int32_t window, std::int32_t page_tokens) const;

  Bug bug_;
  const std::set<std::int32_t>& forked_pages_;
};

}  // namespace secondsource::test
