#pragma once
// The committed bundles that most tests of the program run.

#include <string>

#include "support/source_path.h"

namespace secondsource::test {

/// Hidden size 48, vocabulary 512, 2 layers.
inline const std::string kTinyBundle = source_path("bundles/tiny-gqa8-hd64");
inline const std::string kDefaultBundle = source_path("bundles/default");

}  // namespace secondsource::test
