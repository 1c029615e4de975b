#include "host/memory_kills.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/counted.h"
#include "core/number.h"
#include "core/units.h"
#include "host/cgroup.h"

namespace secondsource {
namespace {

/// The number behind `key` and a space on the line that begins with them.
std::optional<std::int64_t> counter_of(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (line.starts_with(key) && line.substr(key.size()).starts_with(' ')) {
      return parse_number<std::int64_t>(line.substr(key.size() + 1));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> count_memory_kills(const HostFiles& files) {
  if (const auto events = read_cgroup_file(files, "memory", "memory.oom_control", "memory.events")) {
    if (const auto n = counter_of(*events, "oom_kill")) return n;
  }
  const auto vmstat = files.read("proc/vmstat");
  return vmstat ? counter_of(*vmstat, "oom_kill") : std::nullopt;
}

std::optional<std::int64_t> memory_limit_bytes(const HostFiles& files) {
  std::optional<std::int64_t> limit;
  if (const auto meminfo = files.read("proc/meminfo")) {
    const auto kibibytes = parse_number_prefix<std::int64_t>(value_of_line(*meminfo, "MemTotal"));
    if (kibibytes) limit = kibibytes->value * 1024;
  }
  // "max" means no limit, and so does the largest number in version 1.
  if (const auto group = read_cgroup_file(files, "memory", "memory.limit_in_bytes", "memory.max")) {
    const auto bytes = parse_number<std::int64_t>(*group);
    if (bytes && *bytes < limit.value_or(std::int64_t{1} << 60)) limit = *bytes;
  }
  return limit;
}

std::string sign_of_memory_kill(std::optional<std::int64_t> n_before, std::optional<std::int64_t> n_after,
                                std::int64_t peak_bytes, std::optional<std::int64_t> limit_bytes) {
  constexpr double kCloseToLimit = 0.9;
  if (n_before && n_after && *n_after > *n_before) {
    const std::int64_t n = *n_after - *n_before;
    return fmt::format("the kernel counted {} killed for want of memory meanwhile", counted(n, "process", "processes"));
  }
  if (limit_bytes && static_cast<double>(peak_bytes) > kCloseToLimit * static_cast<double>(*limit_bytes)) {
    return fmt::format("its peak is close to the limit of {}", format_bytes(*limit_bytes));
  }
  return {};
}

}  // namespace secondsource
