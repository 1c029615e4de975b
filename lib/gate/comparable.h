#pragma once
// Decides whether two measurements may be compared. If anything differs besides the change under test, the comparison
// is refused with the reason.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "record/records.h"

namespace secondsource {

/// The differences between the two sides that are allowed because they are the change under test.
enum class UnderTest : std::uint8_t {
  kCode,             ///< stored runs: only the program's own code may differ
  kBuildAndOptions,  ///< interleaved on one device: libraries and backend options may differ too
  kSystem,           ///< interleaved systems that are not ours: what serves the bundle may differ altogether
};

/// Compares the measurement method and the host. Returns the reason why the runs are not comparable; nullopt if they
/// are.
[[nodiscard]] std::optional<std::string> why_runs_differ(const RunRecord& base, const RunRecord& candidate);

/// Compares bundle content, device, driver, options and scenario of one cell that both runs have, and whether the
/// settings that label rows are known on both sides or on neither. Returns the reason why the cells are not comparable;
/// nullopt if they are.
[[nodiscard]] std::optional<std::string> why_cells_differ(const RunRecord& base, const RunRecord& candidate,
                                                          const CellSummary& a, const CellSummary& b,
                                                          UnderTest under_test);

/// Describes, in words, the settings that label rows (record/served_system.h) if one cell's system has different values
/// in the two runs, or unknown ones in both. Empty if there are none, or no served system.
[[nodiscard]] std::vector<std::string> labelled_differences(const RunRecord& base, const RunRecord& candidate,
                                                            const CellKey& cell);

}  // namespace secondsource
