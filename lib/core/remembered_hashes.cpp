#include "core/remembered_hashes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <system_error>

#include "core/file.h"
#include "core/hash.h"
#include "core/shared_lines.h"

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
  // If this fails, the content is hashed again the next time.
  (void)append_shared_line(file_, fmt::format("{} {}", name, hash));
}

}  // namespace secondsource
