#include "installed_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "core/folder.h"
#include "core/utf8.h"
#include "runner/plan_file.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = "manifest.yaml";

}  // namespace

fs::path installed_data(const fs::path& program) {
  return (program.parent_path() / ".." / "share" / "secondsource").lexically_normal();
}

Result<fs::path> bundle_path(const fs::path& bundle, const fs::path& program) {
  const std::string text = bundle.string();
  if (!text.starts_with(kInstalledBundle)) return bundle;
  const std::string name = text.substr(kInstalledBundle.size());
  const fs::path folder = installed_data(program) / "bundles";
  std::vector<std::string> known;
  if (const auto entries = list_folder(folder)) {
    for (const fs::path& entry : *entries) {
      if (path_exists(entry / kManifest)) known.push_back(entry.filename().string());
    }
  }
  for (const std::string& one : known) {
    if (one == name) return folder / name;
  }
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected the name of a bundle that is installed in {}; there are {}", shown(text),
                           folder.string(), known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")))};
}

}  // namespace secondsource
