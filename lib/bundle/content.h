#pragma once
// Tells what the files of a bundle really contain, by their hashes.

#include <filesystem>
#include <string>
#include <string_view>

#include "bundle/bundle.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// The folder in which check_content() remembers hashes, which is cache_folder() of core/file.h. If there is none, as
/// for a user without a home folder, it is empty and nothing is remembered.
[[nodiscard]] std::filesystem::path hash_folder();

/// Hashes every file of the bundle that was not hashed before in its present state (core/remembered_hashes.h), and
/// returns what identifies the content. For a bundle with a manifest this is Bundle::content_hash(), after all hashes
/// in the manifest were found correct; for a plain folder it is a hash of the hashes of all its files. Damage that
/// leaves no trace in the file system, such as a disk error, is only found when a file is hashed for the first time;
/// verify_bundle() always reads everything. Errors: kInvalidInput, naming the damaged file; kIo, kInterrupted.
Result<std::string> check_content(const Bundle& bundle, Progress& progress, const InterruptFlag& interrupt,
                                  const std::filesystem::path& cache = hash_folder());

/// What a message about a damaged file ends with: how the extracted copy of a zip is removed; empty for any other bundle.
[[nodiscard]] std::string_view remedy_of_damage(const Bundle& bundle);

/// SHA-256 of a file that may be large: reports progress after each piece, and stops when it is interrupted. `n_bytes`
/// counts the bytes that were hashed before, and after the call also those of this file. Errors: kIo, kInterrupted.
Result<std::string> hash_large_file(const std::filesystem::path& path, Progress& progress,
                                    const InterruptFlag& interrupt, std::int64_t& n_bytes);

}  // namespace secondsource
