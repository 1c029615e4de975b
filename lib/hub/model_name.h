#pragma once
// A model on a hub as a person names it: hf:ORG/NAME, hf:ORG/NAME@REVISION, hf:ORG/NAME/FILE.gguf@REVISION.

#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

struct HubModelName {
  std::string repository;  ///< "ORG/NAME"
  std::string file;        ///< the GGUF file that is meant, relative to the repository; empty: a Hugging Face folder
  std::string revision = "main";  ///< a branch, a tag or a commit

  [[nodiscard]] std::string_view name() const { return std::string_view(repository).substr(repository.find('/') + 1); }
};

/// Errors: kInvalidInput, with the form that was expected.
Result<HubModelName> parse_hub_model_name(std::string_view text);

/// A part of a URL's path, with % and two digits for whatever is neither letter, digit, -, ., _ nor ~. Keeps slashes
/// where `keeps_slashes`.
[[nodiscard]] std::string url_part(std::string_view text, bool keeps_slashes);

}  // namespace secondsource
