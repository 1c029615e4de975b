#pragma once
// How many files and connections this process may have open at a time.

#include <cstdint>

#include "core/result.h"

namespace secondsource {

/// Raises the limit to at least `n_files`, as far as the system's own limit allows. Errors: kUnsupported if it allows
/// fewer.
Result<void> allow_open_files(std::int64_t n_files);

/// Raises the limit to the most that the system allows.
void allow_most_open_files();

}  // namespace secondsource
