#pragma once
// What a loaded system takes from its bundle besides the weights: the tokenizer, the golden cases, and the requests to
// time.

#include "bundle/bundle.h"
#include "bundle/bundle_text.h"
#include "core/result.h"
#include "golden/golden_pass.h"
#include "systems/system_job.h"
#include "systems/workload.h"

namespace secondsource {

struct LoadedPrompts {
  BundleText text;
  GoldenInputs golden;  ///< of the job's suite and variant; it points to the tokenizer of `text`
  Workload workload;    ///< of the job's suite

  /// Errors: those of BundleText::load(), load_prompt_suite() and golden_inputs_of().
  static Result<LoadedPrompts> load(const Bundle& bundle, const SystemJob& job);
};

}  // namespace secondsource
