#pragma once
// The lines above the verdict table of a comparison of two programs or of two systems.

#include <span>
#include <string>
#include <vector>

#include "ab/ab_record.h"

namespace secondsource {

/// Describes what was compared, on which bundles, and in how many pairs and sittings. Returns one string per line.
[[nodiscard]] std::vector<std::string> ab_header(const AbRecord& record, std::span<const ProcessLine> lines);

}  // namespace secondsource
