#pragma once
// May two measurements be compared? Where something differs that is not the change under test, the answer is a refusal
// with the reason, never a guess.

#include <cstdint>
#include <optional>
#include <string>

#include "report/records.h"

namespace secondsource {

/// What the two sides may differ in because it is what is being compared.
enum class UnderTest : std::uint8_t {
  kCode,             ///< stored runs: nothing but the program's own code
  kBuildAndOptions,  ///< interleaved on one device: also libraries, and the backends' options
};

/// The measurement method and the host. Nullopt: comparable.
[[nodiscard]] std::optional<std::string> why_runs_differ(const RunRecord& base, const RunRecord& candidate);

/// Bundle content, device, driver, options and scenario of one cell; both runs have it. Nullopt: comparable.
[[nodiscard]] std::optional<std::string> why_cells_differ(const RunRecord& base, const RunRecord& candidate,
                                                          const CellSummary& a, const CellSummary& b,
                                                          UnderTest under_test);

}  // namespace secondsource
