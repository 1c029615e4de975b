#pragma once
// The texts of lib/setup/ci, and those of docs/ci that serve this program's own source tree. CMakeLists.txt generates the
// definitions.

#include <cstdint>
#include <string_view>

namespace secondsource {

enum class CiTemplate : std::uint8_t {
  kGithubMeasure,
  kGithubCompare,
  kGithubSourceTree,
  kGitlabMeasure,
  kGitlabCompare,
  kGitlabSourceTree,
};

[[nodiscard]] std::string_view ci_template(CiTemplate which);

}  // namespace secondsource
