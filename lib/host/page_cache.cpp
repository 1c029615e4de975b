#include "host/page_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/utf8.h"

namespace secondsource {
namespace {

/// A descriptor that is closed with its scope.
class OpenFile {
 public:
  explicit OpenFile(const std::filesystem::path& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

Error page_cache_error(const std::filesystem::path& file, const char* call, int number) {
  return {ErrorCode::kIo, fmt::format("{}: {}: {}", shown(file.string()), call, std::strerror(number))};
}

}  // namespace

Result<FileCache> file_cache(const std::filesystem::path& file) {
  const OpenFile open_file(file);
  if (open_file.fd() < 0) return page_cache_error(file, "open", errno);
  struct stat status {};
  if (::fstat(open_file.fd(), &status) != 0) return page_cache_error(file, "fstat", errno);
  FileCache cache{.bytes = status.st_size};
  if (status.st_size == 0) return cache;
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, open_file.fd(), 0);
  if (mapped == MAP_FAILED) return page_cache_error(file, "mmap", errno);
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages(size / page + (size % page == 0 ? 0 : 1));
  const int failed = ::mincore(mapped, size, pages.data()) == 0 ? 0 : errno;
  ::munmap(mapped, size);
  if (failed != 0) return page_cache_error(file, "mincore", failed);
  const auto n_cached = std::ranges::count_if(pages, [](unsigned char one) { return (one & 1U) != 0; });
  cache.cached_bytes = std::min<std::int64_t>(status.st_size, n_cached * static_cast<std::int64_t>(page));
  return cache;
}

Result<void> drop_file_cache(const std::filesystem::path& file) {
  const OpenFile open_file(file);
  if (open_file.fd() < 0) return page_cache_error(file, "open", errno);
  // Dirty pages are not dropped. A file on a read-only file system has none, and cannot be flushed either.
  if (::fdatasync(open_file.fd()) != 0 && errno != EROFS && errno != EINVAL) {
    return page_cache_error(file, "fdatasync", errno);
  }
  const int failed = ::posix_fadvise(open_file.fd(), 0, 0, POSIX_FADV_DONTNEED);
  if (failed != 0) return page_cache_error(file, "posix_fadvise", failed);
  return {};
}

}  // namespace secondsource
