#include "core/remembered_hashes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <system_error>

#include "core/file.h"
#include "core/folder.h"
#include "core/hash.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

/// Enough for some 500 000 lines; a mixture of experts has tens of thousands of tensors. A larger file is deleted and
/// begun anew, because nothing tells which of its contents still exist.
constexpr std::int64_t kLimitBytes = std::int64_t{64} << 20;
constexpr std::size_t kHashDigits = 64;

}  // namespace

std::optional<std::string> RememberedHashes::find(std::string_view identity) {
  if (!hashes_) read();
  const auto found = hashes_->find(sha256_hex(identity));
  return found == hashes_->end() ? std::nullopt : std::optional(found->second);
}

void RememberedHashes::read() {
  hashes_.emplace();
  std::error_code error;
  const std::uintmax_t n_bytes = fs::file_size(file_, error);
  if (error) return;
  if (n_bytes > static_cast<std::uintmax_t>(kLimitBytes)) {
    fs::remove(file_, error);
    return;
  }
  const Result<std::string> text = read_file(file_, kLimitBytes);
  if (!text) return;
  for (std::size_t begin = 0; begin < text->size();) {
    const std::size_t end = std::min(text->find('\n', begin), text->size());
    const std::string_view line(text->data() + begin, end - begin);
    // An interrupted write can leave an incomplete line.
    if (line.size() == 2 * kHashDigits + 1) {
      (*hashes_)[std::string(line.substr(0, kHashDigits))] = line.substr(kHashDigits + 1);
    }
    begin = end + 1;
  }
}

void RememberedHashes::remember(std::string_view identity, const std::string& hash) {
  if (!hashes_) read();
  const std::string name = sha256_hex(identity);
  (*hashes_)[name] = hash;
  if (!create_folder(folder_of(file_))) return;
  const FileDescriptor file(::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.is_open()) return;
  // A single write to the end of the file, so that lines of several processes stay whole. The line starts with a
  // newline because an interrupted write may have left the previous line incomplete.
  const std::string line = fmt::format("\n{} {}", name, hash);
  [[maybe_unused]] const ssize_t n_written = ::write(file.get(), line.data(), line.size());
}

}  // namespace secondsource
