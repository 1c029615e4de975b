#include "host/cache_size.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/number.h"

namespace secondsource {
namespace {

constexpr std::int64_t kAssumedAvailable = std::int64_t{4} << 30;
// Limits on the buffers' sizes. A guest has only a part of its host's cache: on a Xeon that reported 480 MiB, one core
// read 1 GiB within 6 % as fast as 512 MiB. There, buffers of four times the reported cache (2 GiB) made a tiny run
// take 1.7 to 5.9 s, and 512 MiB 0.9 to 1.5 s.
constexpr std::int64_t kMostProbed = std::int64_t{256} << 20;
constexpr std::int64_t kMostRead = std::int64_t{512} << 20;

/// Parses a size as /sys writes it: "32768K".
std::optional<std::int64_t> size_of(std::string_view text) {
  const auto number = parse_number_prefix<std::int64_t>(text);
  if (!number) return std::nullopt;
  if (number->rest == "K") return number->value << 10;
  if (number->rest == "M") return number->value << 20;
  return number->rest.empty() ? std::optional(number->value) : std::nullopt;
}

std::int64_t available_bytes(const HostFiles& files) {
  const auto meminfo = files.read("proc/meminfo");
  if (!meminfo) return kAssumedAvailable;
  const auto kib = parse_number_prefix<std::int64_t>(value_of_line(*meminfo, "MemAvailable"));
  return kib && kib->value <= (std::int64_t{1} << 40) ? kib->value << 10 : kAssumedAvailable;
}

}  // namespace

std::optional<std::int64_t> last_level_cache_bytes(const HostFiles& files) {
  const std::filesystem::path folder = "sys/devices/system/cpu/cpu0/cache";
  std::optional<std::int64_t> largest;
  for (const std::string& index : files.list(folder)) {
    const auto size = files.read(folder / index / "size");
    if (!size) continue;
    if (const auto bytes = size_of(*size)) largest = std::max(largest.value_or(0), *bytes);
  }
  return largest;
}

ReadBufferSizes read_buffer_sizes(const HostFiles& files) {
  const std::int64_t cache_bytes = last_level_cache_bytes(files).value_or(0);
  const std::int64_t most_bytes = available_bytes(files) / 8;
  const auto grow = [&](std::int64_t bytes, std::int64_t times, std::int64_t limit) {
    while (bytes / times < cache_bytes && bytes <= std::min(most_bytes, limit) / 2) bytes *= 2;
    return bytes;
  };
  ReadBufferSizes sizes;
  sizes.probe = grow(sizes.probe, 2, kMostProbed);
  sizes.largest = std::max(sizes.probe, grow(sizes.largest, 4, kMostRead));
  return sizes;
}

}  // namespace secondsource
