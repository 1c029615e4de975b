#pragma once
// Do the files that a run measures stay what they were when it began?

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "report/records.h"

namespace secondsource {

class InputWatch {
 public:
  /// Files, and all files below folders. What is not there counts as absent.
  explicit InputWatch(std::vector<std::filesystem::path> paths);
  /// "inputs": every file is there with the size, inode and time of modification that it had.
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
