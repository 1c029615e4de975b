#pragma once
// The patterns of tokenizer files are written for Oniguruma with its Ruby syntax, and PCRE2 runs them here. What has another
// meaning in PCRE2 is spelled out in words that mean the same to both; what cannot be spelled out is refused.

#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource::tokenizer {

/// The pattern in PCRE2's syntax. Errors: kInvalidInput with the offset in `pattern` and what is not supported there.
Result<std::string> pattern_for_pcre2(std::string_view pattern);

}  // namespace secondsource::tokenizer
