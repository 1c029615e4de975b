#include "host/process_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "core/number.h"

namespace secondsource {

Result<std::int64_t> proportional_bytes(const HostFiles& files, std::int64_t pid) {
  constexpr std::int64_t kKibibyte = 1024;
  SS_TRY(const std::string text, files.read(fmt::format("proc/{}/smaps_rollup", pid)));
  const auto kibibytes = parse_number_prefix<std::int64_t>(value_of_line(text, "Pss"));
  if (!kibibytes) return Error{ErrorCode::kUnavailable, fmt::format("/proc/{}/smaps_rollup has no Pss", pid)};
  return kKibibyte * kibibytes->value;
}

Result<std::int64_t> find_process(const HostFiles& files, std::span<const std::string> command) {
  std::string wanted;
  for (const std::string& word : command) wanted.append(word).push_back('\0');
  std::optional<std::int64_t> found;
  for (const std::string& name : files.list("proc")) {
    const auto pid = parse_number<std::int64_t>(name);
    if (!pid) continue;
    const auto text = files.read(fmt::format("proc/{}/cmdline", *pid));
    if (!text || *text != wanted) continue;
    if (found)
      return Error{ErrorCode::kUnavailable, fmt::format("processes {} and {} have the same command", *found, *pid)};
    found = *pid;
  }
  if (found) return *found;
  return Error{ErrorCode::kUnavailable, "no process of this machine has that command"};
}

Result<bool> uses_gpu(const HostFiles& files, std::int64_t pid) {
  constexpr std::array<std::string_view, 3> kDevices = {"/dev/nvidia", "/dev/kfd", "/dev/dri/"};
  SS_TRY(const std::string maps, files.read(fmt::format("proc/{}/maps", pid)));
  if (std::ranges::any_of(kDevices, [&](std::string_view device) { return maps.find(device) != std::string::npos; }))
    return true;
  // HostFiles::read() removes the last line break, which counts as one byte.
  if (maps.size() + 1 >= HostFiles::kMostBytes) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("/proc/{}/maps is longer than the {} bytes that were read", pid, HostFiles::kMostBytes)};
  }
  return false;
}

}  // namespace secondsource
