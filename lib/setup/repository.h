#pragma once
// What `secondsource init` has to know about a repository: which host its pull requests come from, and what in it can
// become slower or wrong.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/enum_names.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// A code host for which CI jobs can be written.
enum class CiHost : std::uint8_t { kGithub, kGitlab };
SS_ENUM_NAMES(CiHost, "github", "gitlab")

/// A model in the repository that can be measured as it is.
struct FoundModel {
  std::filesystem::path folder;  ///< relative to the repository; "." is the repository itself
  bool is_bundle = false;        ///< false: a Hugging Face folder, whose tokens cannot be judged
  std::vector<std::string> variants{};
  std::int64_t max_positions = 0;
  std::int64_t bytes = 0;  ///< of its weights in bf16
};

/// A CMake project that builds backend modules outside of this program's source tree.
struct BackendProject {
  std::filesystem::path folder;  ///< relative to the repository
  std::vector<std::string> backends;
};

struct Repository {
  std::filesystem::path root;
  bool is_git = false;
  std::string remote_host{};  ///< "github.com"; empty without a remote
  bool has_github_folder = false;
  bool has_gitlab_file = false;
  bool is_source_tree = false;  ///< this program's own
  std::vector<BackendProject> projects{};
  std::vector<FoundModel> models{};        ///< bundles first
  std::vector<std::string> passed_over{};  ///< one sentence for each folder that looks like a model but cannot be used
};

/// Looks at the repository that `folder` is in, or at the folder itself outside of git; at most four folders deep, and
/// not into hidden folders, builds and packages of other tools. Changes nothing. Errors: kInvalidInput for a folder that
/// cannot be read; kInterrupted; kIo.
Result<Repository> look_at_repository(const std::filesystem::path& folder, Progress& progress,
                                      const InterruptFlag& interrupt);

/// The host in the address of a remote, without user and port: "https://token@github.com/o/r" and "git@github.com:o/r" are
/// both of "github.com". Empty for a path.
[[nodiscard]] std::string host_of_remote(std::string_view address);

/// The names in the calls of secondsource_add_backend() in the text of a CMakeLists.txt.
[[nodiscard]] std::vector<std::string> backends_of_cmake(std::string_view text);

}  // namespace secondsource
