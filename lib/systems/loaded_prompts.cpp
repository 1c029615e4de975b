#include "systems/loaded_prompts.h"

#include <utility>

namespace secondsource {

Result<LoadedPrompts> LoadedPrompts::load(const Bundle& bundle, const SystemJob& job) {
  SS_TRY(BundleText text, BundleText::load(bundle));
  SS_TRY(PromptSuite suite, load_prompt_suite(bundle, text, job.suite, job.variant));
  SS_TRY(GoldenInputs golden, golden_inputs_of(bundle, text, suite, job.variant));
  return LoadedPrompts{std::move(text), std::move(golden), Workload(std::move(suite), bundle.config())};
}

}  // namespace secondsource
