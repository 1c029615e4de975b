#pragma once
// Opens the bundles of a run that is being planned, and hashes their files.

#include <filesystem>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "record/records.h"

namespace secondsource {

struct OpenedBundle {
  Bundle bundle;
  BundleRecord record;
};

/// Opens the bundles and compares their files with their manifests. Errors: kInvalidInput for no path, for two bundles of the same
/// name and for a damaged bundle; kIo, kInterrupted.
Result<std::vector<OpenedBundle>> open_bundles(const std::vector<std::filesystem::path>& paths, Progress& progress,
                                               const InterruptFlag& interrupt);

/// The variants of a bundle that a run measures: those that are named, or by default the published one, bf16 and int8, where the
/// bundle has them. Errors: kInvalidInput for a name that the bundle does not have.
Result<std::vector<std::string>> variants_to_measure(const Bundle& bundle, const std::vector<std::string>& named);

}  // namespace secondsource
