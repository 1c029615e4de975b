#include "core/staging.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>

#include "core/file_lock.h"
#include "core/folder.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".partial";
constexpr std::size_t kTokenDigits = 16;
constexpr std::size_t kLongestName = 255;  // NAME_MAX of Linux
/// What is added to a name: a dot, the digits and the suffix.
constexpr std::size_t kAdded = 1 + kTokenDigits + kSuffix.size();

/// The beginning of the names staged for `target`. A name that would become too long is cut.
std::string staged_prefix(const fs::path& target) {
  return target.filename().string().substr(0, kLongestName - kAdded) + ".";
}

fs::path new_name(const fs::path& target) {
  return folder_of(target) / (staged_prefix(target) + random_digits() + std::string(kSuffix));
}

/// True if the entry still has a name. A cleaner may come between the creation of an entry and its lock.
bool has_name(const FileDescriptor& descriptor) {
  struct stat status {};
  return ::fstat(descriptor.get(), &status) == 0 && status.st_nlink > 0;
}

/// Removes an entry of an open folder; the entry need not exist. Sets errno when it fails.
bool discard_in(int folder, const char* name) noexcept {
  if (::unlinkat(folder, name, 0) == 0 || errno == ENOENT) return true;
  if (errno != EISDIR && errno != EPERM) return false;
  const int inner = ::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (inner < 0) return errno == ENOENT;
  DIR* const stream = ::fdopendir(inner);
  if (stream == nullptr) {
    ::close(inner);
    return false;
  }
  while (const dirent* const entry = ::readdir(stream)) {
    if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) discard_in(inner, entry->d_name);
  }
  ::closedir(stream);
  return ::unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

/// Removes one staged entry unless its process lives. Only entries of our own user are touched, and no link is followed.
void remove_if_abandoned(const fs::path& entry) {
  const FileDescriptor descriptor(::open(entry.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!descriptor.is_open() || ::fstat(descriptor.get(), &status) != 0 || status.st_uid != ::geteuid()) return;
  if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) return;
  // Without locks in the file system an entry is never taken for abandoned, because nobody gets its lock.
  if (try_lock(descriptor) != FileLock::kTaken) return;
  discard(entry);
}

void remove_abandoned_of(const fs::path& folder, std::string_view prefix) {
  const auto entries = list_folder(folder);
  if (!entries) return;
  for (const fs::path& entry : *entries) {
    const std::string name = entry.filename().string();
    if (!is_staged_name(name) || !name.starts_with(prefix)) continue;
    if (prefix.empty() || name.size() == prefix.size() + kTokenDigits + kSuffix.size()) remove_if_abandoned(entry);
  }
}

/// Calls `create(path)`, which returns an open descriptor or one that is not open with errno set, with new names until
/// an entry is created and locked.
template <typename Create>
Result<StagedEntry> stage(const fs::path& target, const Create& create) {
  remove_abandoned_of(folder_of(target), staged_prefix(target));
  constexpr int kAttempts = 100;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    StagedEntry entry{FileDescriptor(), new_name(target)};
    entry.descriptor = create(entry.path);
    if (!entry.descriptor.is_open()) {
      if (errno == EEXIST || errno == EINTR) continue;
      const ErrorCode code = is_fault_of_path(errno) ? ErrorCode::kInvalidInput : ErrorCode::kIo;
      return Error{code, fmt::format("{}: cannot create: {}", target.string(), std::strerror(errno))};
    }
    if (try_lock(entry.descriptor) != FileLock::kHeldElsewhere && has_name(entry.descriptor)) return entry;
  }
  return Error{ErrorCode::kIo, fmt::format("{}: cannot create: no temporary name is free", target.string())};
}

}  // namespace

bool discard(const fs::path& entry) noexcept {
  return discard_in(AT_FDCWD, entry.c_str());
}

std::string random_digits() {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) {
    // Uniqueness is enforced where the name is used; a clock and the process are enough to find a free one.
    number = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
             (static_cast<std::uint64_t>(::getpid()) << 40);
  }
  return fmt::format("{:016x}", number);
}

Result<StagedEntry> stage_file(const fs::path& target) {
  return stage(target, [](const fs::path& path) {
    return FileDescriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  });
}

Result<StagedEntry> stage_folder(const fs::path& target) {
  return stage(target, [](const fs::path& path) {
    if (::mkdir(path.c_str(), 0755) != 0) return FileDescriptor();
    FileDescriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    // A cleaner may have removed the folder already; another name is tried then.
    if (!folder.is_open() && errno == ENOENT) errno = EEXIST;
    return folder;
  });
}

Result<void> remove_folder_as_a_whole(const fs::path& folder) {
  const FileDescriptor held(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!held.is_open() && errno == ENOENT) return {};
  if (held.is_open()) try_lock(held);  // so that no other cleaner begins with the renamed folder
  const fs::path doomed = new_name(folder);
  if (::rename(folder.c_str(), doomed.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return Error{ErrorCode::kIo, fmt::format("{}: cannot remove: {}", folder.string(), std::strerror(errno))};
  }
  if (discard(doomed)) return {};
  return Error{ErrorCode::kIo, fmt::format("{}: cannot remove: {}", doomed.string(), std::strerror(errno))};
}

bool is_staged_name(std::string_view name) {
  if (name.size() <= kAdded || !name.ends_with(kSuffix)) return false;
  const std::string_view digits = name.substr(name.size() - kSuffix.size() - kTokenDigits, kTokenDigits);
  return name[name.size() - kAdded] == '.' &&
         std::ranges::all_of(digits, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

void remove_abandoned(const fs::path& folder) {
  remove_abandoned_of(folder, "");
}

}  // namespace secondsource
