#pragma once
// Do expected outputs belong to the prompts and to the model beside which they lie?

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

/// What is wrong with the outputs of one variant, a line each: an output without its prompt, a prompt without its output
/// although the model can take it, ids of the prompt other than `encoded` has (a prompt that it lacks is not compared),
/// or an end that contradicts the prompt's limit or the model's end-of-text ids. `path` begins every line.
[[nodiscard]] std::vector<std::string> faults_of_outputs(const std::vector<ExpectedOutput>& outputs,
                                                         const std::string& path, const GoldenPrompts& prompts,
                                                         const EncodedPrompts& encoded, const ModelConfig& config);

}  // namespace secondsource
