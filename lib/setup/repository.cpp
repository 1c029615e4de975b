#include "setup/repository.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <regex>
#include <string_view>
#include <system_error>

#include "ab/program_run.h"
#include "ab/timed_bundle.h"
#include "bundle/bundle.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

constexpr int kDepth = 4;
constexpr std::size_t kMaxFolders = 5000;

bool is_skipped(std::string_view name) {
  constexpr std::array<std::string_view, 8> kOthers = {"build", "node_modules", "venv", "site-packages",
                                                       "dist",  "__pycache__",  "runs", "performance"};
  return name.starts_with(".") || std::ranges::find(kOthers, name) != kOthers.end();
}

/// The output of git without the last newline; nullopt where git fails or is not installed.
Result<std::optional<std::string>> git(const fs::path& folder, std::vector<std::string> arguments,
                                       const InterruptFlag& interrupt) {
  ProgramCall call{.program = "/bin/sh",
                   .arguments = {"-c", "exec git -C \"$0\" \"$@\" 2>/dev/null", folder.string()},
                   .stderr_file = {},
                   .deadline_ns = std::int64_t{60} * 1'000'000'000};
  call.arguments.insert(call.arguments.end(), arguments.begin(), arguments.end());
  SS_TRY(ProgramEnd end, run_program_to_end(call, interrupt));
  if (end.exit.status != 0) return std::optional<std::string>();
  while (end.out.ends_with('\n')) end.out.pop_back();
  return std::optional(std::move(end.out));
}

bool has_ending(const std::vector<fs::path>& entries, std::string_view ending) {
  return std::ranges::any_of(entries, [&](const fs::path& entry) { return entry.string().ends_with(ending); });
}

class RepositoryLook {
 public:
  RepositoryLook(Repository& repository, Progress& progress, const InterruptFlag& interrupt)
      : repository_(repository), progress_(progress), interrupt_(interrupt) {}

  Result<void> look() {
    SS_TRY_VOID(look_into(repository_.root, 0));
    std::ranges::stable_sort(repository_.models, std::greater(), &FoundModel::is_bundle);
    return {};
  }

 private:
  Result<void> look_into(const fs::path& folder, int depth) {
    SS_TRY_VOID(interrupt_.check());
    if (++n_folders_ > kMaxFolders) return {};
    const auto entries = list_folder(folder);
    if (!entries) {
      if (depth == 0) return entries.error();
      return {};
    }
    const auto has = [&](const char* name) { return path_exists(folder / name); };
    if (has("CMakeLists.txt")) SS_TRY_VOID(add_project(folder));
    if (has("manifest.yaml") && has("config.json")) {
      SS_TRY_VOID(add_model(folder));
      return {};
    }
    if (has("config.json") && has_ending(*entries, ".safetensors")) {
      SS_TRY_VOID(add_model(folder));
      return {};
    }
    for (const fs::path& entry : *entries) {
      if (entry.extension() == ".gguf") {
        repository_.passed_over.push_back(
            fmt::format("{} is a GGUF file: make a bundle of it with `secondsource bundle create --from-gguf`",
                        shown(relative(entry))));
      }
      std::error_code failed;
      const bool is_folder = fs::is_directory(fs::symlink_status(entry, failed));
      if (!is_folder || depth == kDepth || is_skipped(entry.filename().string())) continue;
      SS_TRY_VOID(look_into(entry, depth + 1));
    }
    return {};
  }

  [[nodiscard]] std::string relative(const fs::path& path) const {
    return path.lexically_relative(repository_.root).string();
  }

  Result<void> add_project(const fs::path& folder) {
    const auto text = read_file(folder / "CMakeLists.txt", std::int64_t{1} << 20);
    if (!text) return {};
    const std::vector<std::string> backends = backends_of_cmake(*text);
    if (!backends.empty()) repository_.projects.push_back({relative(folder), backends});
    return {};
  }

  Result<void> add_model(const fs::path& folder) {
    const std::string name = relative(folder);
    if (repository_.is_git) {
      SS_TRY(const auto ignored, git(repository_.root, {"check-ignore", "--quiet", "--", name}, interrupt_));
      if (ignored) {
        repository_.passed_over.push_back(
            fmt::format("{} is a model that git ignores, so that a job would not have it", shown(name)));
        return {};
      }
    }
    const auto bundle = Bundle::open(folder, progress_, interrupt_);
    if (!bundle && bundle.error().code == ErrorCode::kInterrupted) return bundle.error();
    if (!bundle) {
      repository_.passed_over.push_back(
          fmt::format("{} looks like a model and cannot be used: {}", shown(name), bundle.error().message));
      return {};
    }
    repository_.models.push_back({.folder = name,
                                  .is_bundle = bundle->manifest() != nullptr,
                                  .variants = bundle->variants(),
                                  .max_positions = bundle->config().max_seq_len,
                                  .bytes = weight_bytes(bundle->config(), {"bf16"})});
    return {};
  }

  Repository& repository_;
  Progress& progress_;
  const InterruptFlag& interrupt_;
  std::size_t n_folders_ = 0;
};

}  // namespace

std::string host_of_remote(std::string_view address) {
  std::string_view rest = address;
  if (const auto scheme = rest.find("://"); scheme != rest.npos) {
    if (rest.substr(0, scheme) == "file") return {};
    rest.remove_prefix(scheme + 3);
    rest = rest.substr(0, rest.find('/'));
  } else {
    // The short form of ssh, USER@HOST:PATH. A slash before the colon makes it a path.
    const auto colon = rest.find(':');
    if (colon == rest.npos || rest.find('/') < colon) return {};
    rest = rest.substr(0, colon);
  }
  if (const auto at = rest.rfind('@'); at != rest.npos) rest.remove_prefix(at + 1);
  if (!rest.starts_with('[')) rest = rest.substr(0, rest.find(':'));
  return std::string(rest);
}

std::vector<std::string> backends_of_cmake(std::string_view text) {
  // A comment may mention the function without calling it.
  static const std::regex comment("#[^\n]*");
  static const std::regex call(R"(secondsource_add_backend\s*\(\s*([A-Za-z0-9_-]+))");
  const std::string code = std::regex_replace(std::string(text), comment, "");
  std::vector<std::string> names;
  for (auto at = std::sregex_iterator(code.begin(), code.end(), call); at != std::sregex_iterator(); ++at) {
    names.push_back((*at)[1]);
  }
  return names;
}

Result<Repository> look_at_repository(const fs::path& folder, Progress& progress, const InterruptFlag& interrupt) {
  Repository repository{.root = fs::absolute(folder).lexically_normal()};
  if (!repository.root.has_filename()) repository.root = repository.root.parent_path();
  SS_TRY(const auto top, git(repository.root, {"rev-parse", "--show-toplevel"}, interrupt));
  if (top) {
    repository.is_git = true;
    repository.root = *top;
    SS_TRY(auto address, git(repository.root, {"remote", "get-url", "origin"}, interrupt));
    if (!address) {
      SS_TRY(const auto names, git(repository.root, {"remote"}, interrupt));
      if (names && !names->empty()) {
        SS_TRY(address, git(repository.root, {"remote", "get-url", names->substr(0, names->find('\n'))}, interrupt));
      }
    }
    if (address) repository.remote_host = host_of_remote(*address);
  }
  repository.has_github_folder = path_exists(repository.root / ".github");
  repository.has_gitlab_file = path_exists(repository.root / ".gitlab-ci.yml");
  repository.is_source_tree = path_exists(repository.root / "apps/secondsource/main.cpp") &&
                              path_exists(repository.root / "lib/README.md") && path_exists(repository.root / "dev");
  SS_TRY_VOID(RepositoryLook(repository, progress, interrupt).look());
  return repository;
}

}  // namespace secondsource
