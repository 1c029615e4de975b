#pragma once
// The versions that are written into the files of a run.

namespace secondsource {

/// Increase it when the meaning of a field changes. Readers refuse versions that they do not know.
inline constexpr int kResultsSchemaVersion = 1;
/// Increase it when a measurement changes so that old and new numbers must not be compared (CHANGELOG, "Measurement").
inline constexpr int kMethodVersion = 2;

}  // namespace secondsource
