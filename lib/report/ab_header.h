#pragma once
// The lines above the verdict table of a comparison of two programs.

#include <span>
#include <string>
#include <vector>

#include "ab/ab_record.h"

namespace secondsource {

/// Describes which programs were compared, on which bundles, and in how many pairs. Returns one string per line.
[[nodiscard]] std::vector<std::string> ab_header(const AbRecord& record, std::span<const ProcessLine> lines);

}  // namespace secondsource
