#include "runner/input_watch.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <system_error>

#include "core/folder.h"

namespace secondsource {

InputWatch::InputWatch(std::vector<std::filesystem::path> paths) : paths_(std::move(paths)), before_(look()) {}

CheckRecord InputWatch::check() const {
  const Identities now = look();
  for (const auto& [name, identity] : before_) {
    const auto found = now.find(name);
    if (found == now.end()) return {"inputs", CheckOutcome::kInvalid, name + " was removed during the run"};
    if (found->second != identity) return {"inputs", CheckOutcome::kInvalid, name + " changed during the run"};
  }
  for (const auto& [name, identity] : now) {
    if (!before_.contains(name)) return {"inputs", CheckOutcome::kInvalid, name + " was added during the run"};
  }
  return {"inputs", CheckOutcome::kPassed, fmt::format("{} files of bundle and module are as they were", now.size())};
}

InputWatch::Identities InputWatch::look() const {
  Identities found;
  const auto add = [&](const std::filesystem::path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return;
    found[path.string()] = {info.st_ino, info.st_size,
                            std::int64_t{1'000'000'000} * info.st_mtim.tv_sec + info.st_mtim.tv_nsec};
  };
  for (const std::filesystem::path& path : paths_) {
    add(path);
    std::error_code none;
    if (!std::filesystem::is_directory(path, none)) continue;
    const auto files = list_files_below(path);
    // A folder that can no longer be read counts as changed: the files that were found in it before are missing.
    if (!files) continue;
    for (const std::filesystem::path& file : *files) add(file);
  }
  return found;
}

}  // namespace secondsource
