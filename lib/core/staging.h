#pragma once
// Files and folders that are prepared under a temporary name beside their final one and renamed when complete. The
// name, NAME.<16 random hexadecimal digits>.partial, is new for each of them, so that neither another process nor a link
// that somebody planted can be in its way. Its process holds a lock on it (flock) as long as it works on it; whoever
// finds one without a lock knows that its process is dead, in another container too, and may remove it.

#include <filesystem>
#include <string_view>

#include "core/file.h"
#include "core/result.h"

namespace secondsource {

/// A file or folder under its temporary name. The lock lasts as long as the descriptor is open, so close it only after
/// renaming or removing the entry.
struct StagedEntry {
  FileDescriptor descriptor;
  std::filesystem::path path;
};

/// Creates an empty file for `target`, open for writing, and removes what dead processes left for the same target.
/// Errors: kInvalidInput when no file can be there; kIo.
Result<StagedEntry> stage_file(const std::filesystem::path& target);
/// Creates an empty folder for `target`, as stage_file().
Result<StagedEntry> stage_folder(const std::filesystem::path& target);

/// Removes a file, or a folder with all its content, without following links. Allocates nothing and throws nothing, for
/// destructors. Returns false if something is left.
bool discard(const std::filesystem::path& entry) noexcept;

/// Removes a folder with all its content such that no process ever sees a part of it under its name: renames it first.
/// A folder that another process has removed meanwhile is no error. Errors: kIo.
Result<void> remove_folder_as_a_whole(const std::filesystem::path& folder);

/// True for names as above.
[[nodiscard]] bool is_staged_name(std::string_view name);

/// Removes from `folder` the staged entries whose processes are dead; what cannot be removed stays.
void remove_abandoned(const std::filesystem::path& folder);

/// 16 random hexadecimal digits from the system's generator.
[[nodiscard]] std::string random_digits();

}  // namespace secondsource
