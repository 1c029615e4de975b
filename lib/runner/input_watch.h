#pragma once
// Checks that the files which a run measures do not change while it runs.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "record/records.h"

namespace secondsource {

class InputWatch {
 public:
  /// Remembers the identity of each file in `paths` and of all files below each folder. A missing file is remembered as
  /// absent.
  explicit InputWatch(std::vector<std::filesystem::path> paths);
  /// Returns the check "inputs". It passes if every file still has the size, inode and modification time it had at
  /// construction.
  [[nodiscard]] CheckRecord check() const;

 private:
  struct Identity {
    std::uint64_t inode = 0;
    std::int64_t n_bytes = 0;
    std::int64_t modified_ns = 0;
    friend bool operator==(const Identity&, const Identity&) = default;
  };
  using Identities = std::map<std::string, Identity>;
  [[nodiscard]] Identities look() const;

  std::vector<std::filesystem::path> paths_;
  Identities before_;
};

}  // namespace secondsource
