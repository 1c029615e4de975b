#pragma once
// Keeps two processes from changing one bundle's folder at the same time.

#include <filesystem>

#include "core/file.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// Locks a bundle's folder for a change of its manifest, and waits while another process changes it. The lock lasts as
/// long as the result lives; read the manifest that is to be changed only after taking it. Where the file system has no
/// locks, nobody is kept out. Readers need no lock, because a manifest is replaced as a whole. Errors: kInvalidInput,
/// kIo, kInterrupted.
Result<FileDescriptor> lock_bundle(const std::filesystem::path& folder, Progress& progress,
                                   const InterruptFlag& interrupt);

}  // namespace secondsource
