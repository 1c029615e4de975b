#pragma once
// A conformance case that is prepared and compiled on a backend, so that its steps can be run one by one.

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "conformance/build.h"
#include "conformance/cases.h"
#include "conformance/run_case.h"
#include "core/clock.h"

namespace secondsource::conformance {

/// The last batch of a case, with a step compiled for it.
class StepCase {
 public:
  /// `backend` must outlive it.
  static Result<StepCase> make(Backend& backend, Case c, GroupTiming group_timing = GroupTiming::kOff) {
    StepCase made(backend, std::move(c));
    for (const CaseWeight& weight : made.case_.weights) {
      SS_TRY(const WeightId id, backend.prepare_weight(weight.spec));
      made.weights_.push_back(id);
    }
    KvSpec spec = made.case_.kv;
    spec.dtype = backend.device().kv_dtype;
    SS_TRY(made.pool_, backend.create_kv_pool(spec, made.case_.n_pages));
    SS_TRY(made.step_, made.compile(0, group_timing));
    return made;
  }

  /// Compiles the same graph for a batch with `n_more_tokens` more tokens.
  Result<std::unique_ptr<Step>> compile(std::int32_t n_more_tokens, GroupTiming group_timing = GroupTiming::kOff) {
    const Batch batch = case_.actions.back().batch.view();
    const Bucket bucket{batch.n_tokens() + n_more_tokens, batch.n_seqs(), batch.n_logit_rows(),
                        batch.max_pages_per_seq};
    return backend_.compile(graph(), bucket, pool_, group_timing);
  }

  Result<StepResult> run() {
    SS_TRY(const Ticket ticket, step_->submit(case_.actions.back().batch.view()));
    return backend_.wait(ticket, Deadline{now_ns() + 60'000'000'000});
  }

  [[nodiscard]] Step& step() { return *step_; }
  [[nodiscard]] StepGraph graph() const { return with_weights(case_.graphs.back(), weights_); }

 private:
  StepCase(Backend& backend, Case c) : backend_(backend), case_(std::move(c)) {}

  Backend& backend_;
  Case case_;
  std::vector<WeightId> weights_;
  KvPoolId pool_{};
  std::unique_ptr<Step> step_;
};

}  // namespace secondsource::conformance
