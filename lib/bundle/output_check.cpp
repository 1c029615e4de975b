#include "bundle/output_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/utf8.h"

namespace secondsource {
namespace {

/// Compares one output with its prompt's limit and the configuration.
void check_end(const ExpectedOutput& output, const GoldenPrompt& prompt, const std::string& where,
               const ModelConfig& config, std::vector<std::string>& faults) {
  const auto n_ids = static_cast<std::int64_t>(output.ids.size());
  if (n_ids > prompt.max_new_tokens) {
    faults.push_back(fmt::format("{}: expected at most {} ids, found {}", where, prompt.max_new_tokens, n_ids));
  }
  if (output.n_prompt_ids + n_ids > config.max_seq_len) {
    faults.push_back(fmt::format("{}: expected at most {} positions, found {}", where, config.max_seq_len,
                                 output.n_prompt_ids + n_ids));
  }
  const auto is_eos = [&](std::int32_t id) { return std::ranges::find(config.eos_ids, id) != config.eos_ids.end(); };
  const auto first_eos = std::ranges::find_if(output.ids, is_eos);
  if (output.finish == Finish::kEos && first_eos + 1 != output.ids.end()) {
    faults.push_back(fmt::format("{}: finish: expected the one end-of-text id last, found otherwise", where));
  }
  if (output.finish == Finish::kLength && (first_eos != output.ids.end() || n_ids != prompt.max_new_tokens)) {
    faults.push_back(
        fmt::format("{}: finish: expected {} ids without end-of-text, found otherwise", where, prompt.max_new_tokens));
  }
}

}  // namespace

std::vector<std::string> faults_of_outputs(const std::vector<ExpectedOutput>& outputs, const std::string& path,
                                           const GoldenPrompts& prompts, const EncodedPrompts& encoded,
                                           const ModelConfig& config) {
  std::vector<std::string> faults;
  std::set<std::string, std::less<>> answered;
  for (const ExpectedOutput& output : outputs) {
    const std::string where = fmt::format("{}: prompt {}", path, printable(output.prompt));
    answered.insert(output.prompt);
    const GoldenPrompt* prompt = prompts.find(output.prompt);
    if (prompt == nullptr) {
      faults.push_back(fmt::format("{}: expected a prompt of the bundle, found none of that id", where));
      continue;
    }
    check_end(output, *prompt, where, config, faults);
    const auto ids = encoded.find(output.prompt);
    if (ids == encoded.end()) continue;
    if (!ids->second) {
      faults.push_back(fmt::format("{}: expected a prompt that the model can take, found one that it cannot", where));
    } else if (sha256_of_ids(*ids->second) != output.prompt_sha256) {
      faults.push_back(fmt::format("{}: expected the ids that the bundle's tokenizer gives ({}), found others ({})",
                                   where, ids->second->size(), output.n_prompt_ids));
    }
  }
  for (const GoldenPrompt& prompt : prompts.prompts) {
    if (answered.contains(prompt.id)) continue;
    const auto ids = encoded.find(prompt.id);
    const bool can_be_taken = ids == encoded.end() || ids->second.has_value();
    if (can_be_taken) faults.push_back(fmt::format("{}: prompt {}: expected an output, found none", path, prompt.id));
  }
  return faults;
}

}  // namespace secondsource
