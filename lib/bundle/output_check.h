#pragma once
// Checks that expected outputs belong to the prompts and to the model of their bundle.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bundle/expected.h"
#include "bundle/model_config.h"
#include "bundle/prompts.h"

namespace secondsource {

/// The ids of all golden prompts by prompt id, as the bundle's tokenizer and chat template make them; nullopt for a prompt
/// that the model cannot take. The ids of a prompt's document come first.
using EncodedPrompts = std::map<std::string, std::optional<std::vector<std::int32_t>>, std::less<>>;

/// The faults in the outputs of one variant, one line each: an output without its prompt, a prompt without its output
/// although the model can take it, other ids of the prompt than in `encoded` (prompts that are not in it are not
/// compared), or an end that contradicts the prompt's limit or the model's end-of-text ids. Every line begins with
/// `path`.
[[nodiscard]] std::vector<std::string> faults_of_outputs(const std::vector<ExpectedOutput>& outputs,
                                                         const std::string& path, const GoldenPrompts& prompts,
                                                         const EncodedPrompts& encoded, const ModelConfig& config);

}  // namespace secondsource
