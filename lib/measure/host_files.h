#pragma once
// Files of /proc and /sys, under a root that tests can point at a recorded tree. They have no size, so they are read to
// their end.

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace secondsource {

class HostFiles {
 public:
  explicit HostFiles(std::filesystem::path root = "/") : root_(std::move(root)) {}
  /// The content of at most 1 MiB, without trailing white space. `path` is relative: "proc/meminfo".
  /// Errors: kUnavailable with the reason of the system.
  [[nodiscard]] Result<std::string> read(const std::filesystem::path& path) const;
  /// Names in a folder, sorted; empty when it is not there.
  [[nodiscard]] std::vector<std::string> list(const std::filesystem::path& path) const;
  [[nodiscard]] const std::filesystem::path& root() const noexcept { return root_; }

 private:
  std::filesystem::path root_;
};

/// The text after "KEY" and a colon on the first line that starts with KEY, trimmed; empty when there is none.
[[nodiscard]] std::string_view value_of_line(std::string_view text, std::string_view key);

}  // namespace secondsource
