#pragma once
// The text of a prompt suite (docs/bundle-format.md) from which bundle/prompts.h reads the same prompts.

#include <string>
#include <string_view>
#include <vector>

#include "bundle/prompts.h"
#include "core/result.h"

namespace secondsource {

struct SuiteHead {
  std::string name;
  std::string license;
  std::string comment;  ///< one line, without the mark of a comment
};

/// Errors: kInvalidInput if the suite would be larger than its readers accept.
Result<std::string> write_prompt_suite(const SuiteHead& head, const std::vector<GoldenPrompt>& prompts);

}  // namespace secondsource
