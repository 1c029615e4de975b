#pragma once
// Tells what the files of a bundle really contain, by their hashes.

#include <filesystem>
#include <string>

#include "bundle/bundle.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// The folder in which check_content() remembers hashes: cache_folder() of core/file.h; empty, and nothing is remembered,
/// if there is none, as for a user without a home.
[[nodiscard]] std::filesystem::path hash_folder();

/// Hashes every file of the bundle that was not hashed before in its present state (core/remembered_hashes.h), and
/// returns what identifies the content: Bundle::content_hash() if the bundle has a manifest, all of whose hashes then
/// were found to be true; for a plain folder, a hash of the hashes of all its files. Damage that leaves no trace in the
/// file system, as that of a disk, is found by the first hashing only; verify_bundle() always reads everything. Errors:
/// kInvalidInput, naming the damaged file; kIo, kInterrupted.
Result<std::string> check_content(const Bundle& bundle, Progress& progress, const InterruptFlag& interrupt,
                                  const std::filesystem::path& cache = hash_folder());

/// SHA-256 of a file that may be large: reports progress after each piece, and stops when it is interrupted. `n_bytes`
/// counts the bytes that were hashed before, and after the call also those of this file. Errors: kIo, kInterrupted.
Result<std::string> hash_large_file(const std::filesystem::path& path, Progress& progress,
                                    const InterruptFlag& interrupt, std::int64_t& n_bytes);

}  // namespace secondsource
