#pragma once
// Translates the patterns of tokenizer files, which are written for Oniguruma in its Ruby syntax, into patterns with the same matches
// in PCRE2. Some constructs mean something else in PCRE2 and are written differently; those without an equivalent are refused.

#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource::tokenizer {

/// The pattern in PCRE2's syntax. Errors: kInvalidInput with the offset in `pattern` and what is not supported there.
Result<std::string> pattern_for_pcre2(std::string_view pattern);

}  // namespace secondsource::tokenizer
