#pragma once
// The gate on two stored runs: one verdict a cell and metric, by the rule of rule.h, or a refusal where the two must
// not be compared.

#include <string>
#include <vector>

#include "gate/rule.h"
#include "gate/waiver.h"
#include "report/gate_record.h"
#include "report/stored_run.h"

namespace secondsource {

struct GateOptions {
  GateRule rule;
  std::vector<Waiver> waivers;
  std::string today;              ///< YYYY-MM-DD
  bool allow_unverified = false;  ///< also judge bundles without independent expected outputs
};

[[nodiscard]] GateReport compare_runs(const SummarizedRun& base, const SummarizedRun& candidate,
                                      const GateOptions& options);

}  // namespace secondsource
