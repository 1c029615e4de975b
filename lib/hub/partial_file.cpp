#include "hub/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "core/folder.h"
#include "core/git_blob_hash.h"
#include "core/hash.h"

namespace secondsource {
namespace {

Result<std::string> hash_of_kind(bool is_lfs, const std::filesystem::path& path) {
  return is_lfs ? sha256_of_file(path) : git_blob_hash_of_file(path);
}

}  // namespace

Result<PartialFile> PartialFile::open(const std::filesystem::path& folder, const HubFile& file) {
  const std::filesystem::path path = folder / (file.hash() + ".partial");
  constexpr mode_t kMode = 0666;
  FileDescriptor descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kMode));
  struct stat status {};
  if (!descriptor.is_open() || ::fstat(descriptor.get(), &status) != 0) return errno_error(path, "open");
  PartialFile partial(std::move(descriptor), path, !file.sha256.empty(), status.st_size);
  if (!S_ISREG(status.st_mode) || status.st_size > file.size_bytes.value_or(0)) SS_TRY_VOID(partial.restart());
  return partial;
}

Result<void> PartialFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(descriptor_.get(), bytes.data(), bytes.size(), n_bytes_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(path_, "write");
    n_bytes_ += n;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> PartialFile::restart() {
  if (::ftruncate(descriptor_.get(), 0) != 0) return errno_error(path_, "empty");
  n_bytes_ = 0;
  return {};
}

Result<std::string> PartialFile::hash() {
  if (::fsync(descriptor_.get()) != 0) return errno_error(path_, "flush");
  return hash_of_kind(is_lfs_, path_);
}

Result<void> PartialFile::rename_to(const std::filesystem::path& path) {
  SS_TRY_VOID(create_folder(folder_of(path)));
  if (::rename(path_.c_str(), path.c_str()) != 0) return errno_error(path, "create");
  SS_TRY_VOID(descriptor_.close(path));
  return flush_folder(folder_of(path));
}

void PartialFile::remove() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

Result<std::string> hash_like(const HubFile& file, const std::filesystem::path& path) {
  return hash_of_kind(!file.sha256.empty(), path);
}

}  // namespace secondsource
