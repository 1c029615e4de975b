#include "bundle/zip_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

namespace secondsource {
namespace {

// APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16.
constexpr std::size_t kEntryBytes = 46;
constexpr std::size_t kEndBytes = 22;
constexpr std::size_t kLocatorBytes = 20;
constexpr std::size_t kEnd64Bytes = 56;
constexpr std::uint64_t kMaxDirectoryBytes = std::uint64_t{16} << 20;
constexpr std::uint64_t kMaxCommentBytes = 65'535;
constexpr std::uint32_t kEntrySignature = 0x02014b50;
constexpr std::uint32_t kEndSignature = 0x06054b50;
constexpr std::uint32_t kLocatorSignature = 0x07064b50;
constexpr std::uint32_t kEnd64Signature = 0x06064b50;

/// A little-endian number of `n_bytes` at `offset`.
std::uint64_t number_at(std::span<const std::byte> bytes, std::size_t offset, std::size_t n_bytes) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < n_bytes; ++i) number |= std::to_integer<std::uint64_t>(bytes[offset + i]) << (8 * i);
  return number;
}

struct DirectoryPlace {
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
};

/// Finds the directory by the end record, which is recognised by its comment ending the file; nullopt if there is no
/// such record.
Result<std::optional<DirectoryPlace>> find_directory(std::uint64_t archive_bytes, const ReadBytes& read) {
  const std::uint64_t tail_bytes = std::min(archive_bytes, kMaxCommentBytes + kEndBytes + kLocatorBytes);
  const std::uint64_t tail_begin = archive_bytes - tail_bytes;
  std::vector<std::byte> tail(static_cast<std::size_t>(tail_bytes));
  SS_TRY_VOID(read(tail_begin, tail));
  for (std::size_t at = tail.size() < kEndBytes ? 0 : tail.size() - kEndBytes + 1; at-- > 0;) {
    if (number_at(tail, at, 4) != kEndSignature) continue;
    if (at + kEndBytes + number_at(tail, at + 20, 2) != tail.size()) continue;
    DirectoryPlace place{number_at(tail, at + 16, 4), number_at(tail, at + 12, 4)};
    if (at >= kLocatorBytes && number_at(tail, at - kLocatorBytes, 4) == kLocatorSignature) {
      const std::uint64_t end64 = number_at(tail, at - kLocatorBytes + 8, 8);
      std::vector<std::byte> record(kEnd64Bytes);
      if (end64 > archive_bytes || archive_bytes - end64 < kEnd64Bytes) return std::optional<DirectoryPlace>();
      SS_TRY_VOID(read(end64, record));
      if (number_at(record, 0, 4) != kEnd64Signature) return std::optional<DirectoryPlace>();
      place = {number_at(record, 48, 8), number_at(record, 40, 8)};
    }
    return std::optional(place);
  }
  return std::optional<DirectoryPlace>();
}

}  // namespace

Result<void> check_no_zero_in_names(std::uint64_t archive_bytes, std::uint64_t n_entries, const ReadBytes& read,
                                    std::string_view name) {
  const auto refused = [&](std::string_view what) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: zip: {}", name, what)};
  };
  const auto inconsistent = [&] { return refused("expected a directory that says where it is, found another"); };
  SS_TRY(const std::optional<DirectoryPlace> place, find_directory(archive_bytes, read));
  if (!place || place->offset > archive_bytes || place->size_bytes > archive_bytes - place->offset) {
    return inconsistent();
  }
  if (place->size_bytes > kMaxDirectoryBytes) {
    return refused(
        fmt::format("expected a directory of at most {} bytes, found {}", kMaxDirectoryBytes, place->size_bytes));
  }
  std::vector<std::byte> directory(static_cast<std::size_t>(place->size_bytes));
  SS_TRY_VOID(read(place->offset, directory));
  std::span<const std::byte> rest = directory;
  for (std::uint64_t i = 0; i < n_entries; ++i) {
    if (rest.size() < kEntryBytes || number_at(rest, 0, 4) != kEntrySignature) return inconsistent();
    const std::size_t name_bytes = number_at(rest, 28, 2);
    const std::size_t entry_bytes = kEntryBytes + name_bytes + number_at(rest, 30, 2) + number_at(rest, 32, 2);
    if (rest.size() < entry_bytes) return inconsistent();
    const auto entry_name = rest.subspan(kEntryBytes, name_bytes);
    if (std::find(entry_name.begin(), entry_name.end(), std::byte{0}) != entry_name.end()) {
      return refused(fmt::format("entry {}: a name with a zero byte", i));
    }
    rest = rest.subspan(entry_bytes);
  }
  return {};
}

}  // namespace secondsource
