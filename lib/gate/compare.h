#pragma once
// The gate on two stored runs: one verdict per cell and metric by the rule of rule.h, or a refusal where the two are
// not comparable.

#include <string>
#include <vector>

#include "gate/gate_record.h"
#include "gate/rule.h"
#include "gate/waiver.h"
#include "summary/summarized_run.h"

namespace secondsource {

struct GateOptions {
  GateRule rule;
  std::vector<Waiver> waivers;
  std::string today;                 ///< YYYY-MM-DD
  bool allow_unverified = false;     ///< judge bundles without independent expected outputs too
  bool judge_opportunistic = false;  ///< opportunistic variants decide, too
};

[[nodiscard]] GateReport compare_runs(const SummarizedRun& base, const SummarizedRun& candidate,
                                      const GateOptions& options);

}  // namespace secondsource
