#pragma once
// A temporary folder for one test, removed with all its contents at the end.

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "core/check.h"

namespace secondsource::test {

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "secondsource-test-XXXXXX").string();
    SS_CHECK(::mkdtemp(pattern.data()) != nullptr, "cannot create a scratch folder");
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace secondsource::test
