#pragma once
// Reads files of /proc and /sys, under a root that tests can point at a recorded tree. Such files report no size, so
// they are read to their end.

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace secondsource {

class HostFiles {
 public:
  /// The most bytes that are read of a file; a result of this length may be cut off.
  static constexpr std::size_t kMostBytes = 1 << 20;

  explicit HostFiles(std::filesystem::path root = "/") : root_(std::move(root)) {}
  /// Reads at most kMostBytes, without trailing white space. `path` is relative, such as "proc/meminfo". Errors:
  /// kUnavailable with the system's reason.
  [[nodiscard]] Result<std::string> read(const std::filesystem::path& path) const;
  /// The names in a folder, sorted; empty if the folder does not exist.
  [[nodiscard]] std::vector<std::string> list(const std::filesystem::path& path) const;
  [[nodiscard]] const std::filesystem::path& root() const noexcept { return root_; }

 private:
  std::filesystem::path root_;
};

/// The trimmed text after KEY and a colon on the first line that starts with KEY; empty if there is none.
[[nodiscard]] std::string_view value_of_line(std::string_view text, std::string_view key);

}  // namespace secondsource
