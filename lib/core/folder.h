#pragma once
// Folders: created, listed and flushed to the disk without exceptions. The iterators of std::filesystem throw when a
// folder cannot be read or vanishes between two steps, so nothing else in the library or the programs uses them.

#include <filesystem>
#include <vector>

#include "core/result.h"

namespace secondsource {

/// Creates a folder and those above it that are missing. Errors: kInvalidInput when the path cannot be a folder of
/// ours (part of it is a file, may not be written, or is too long); kIo.
Result<void> create_folder(const std::filesystem::path& folder);

/// The paths of a folder's entries, in the order of their names. Errors: kInvalidInput when it is absent, is not a
/// folder or may not be read; kIo.
Result<std::vector<std::filesystem::path>> list_folder(const std::filesystem::path& folder);

/// Everything at any depth below a folder that is not a folder itself, in the order of the paths. Symbolic links are
/// listed and not followed. Entries that another process removes meanwhile are left out. Errors: as list_folder().
Result<std::vector<std::filesystem::path>> list_files_below(const std::filesystem::path& folder);

/// Puts the names in a folder on the disk, so that a file created or renamed there outlives a power failure. Does
/// nothing where the file system cannot, or the folder may not be opened. Errors: kIo.
Result<void> flush_folder(const std::filesystem::path& folder);

/// The folder that holds `path`: "." for a bare name.
[[nodiscard]] std::filesystem::path folder_of(const std::filesystem::path& path);

/// True if there is something at `path`. False also when one may not look there.
[[nodiscard]] bool path_exists(const std::filesystem::path& path);

}  // namespace secondsource
