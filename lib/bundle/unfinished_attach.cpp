#include "bundle/unfinished_attach.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "bundle/relative_path.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/hash.h"
#include "core/staging.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHashDigits = 64;
constexpr std::string_view kBetween = "  ";  // of sha256sum, between hash and path

Result<void> remove_file(const fs::path& file) {
  std::error_code error;
  fs::remove(file, error);
  if (!error) return {};
  return Error{ErrorCode::kIo, fmt::format("{}: cannot remove: {}", file.string(), error.message())};
}

}  // namespace

Result<UnfinishedAttach> UnfinishedAttach::read(const fs::path& folder) {
  UnfinishedAttach record(folder);
  const fs::path file = record.file();
  if (!path_exists(file)) return record;
  SS_TRY(const std::string text, read_file(file, kMaxManifestBytes));
  std::size_t n_lines = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    ++n_lines;
    const std::string_view line = std::string_view(text).substr(begin, text.find('\n', begin) - begin);
    begin += line.size() + 1;
    const std::string_view hash = line.substr(0, kHashDigits);
    const std::string_view path = line.substr(std::min(line.size(), kHashDigits + kBetween.size()));
    const bool is_of_outputs = path.starts_with(kPromptsFolder) || path.starts_with(kExpectedFolder);
    // The file may come from anyone, together with the bundle. What it names is removed, so it may name nothing else.
    if (!is_sha256(hash) || line.substr(kHashDigits, kBetween.size()) != kBetween || !is_of_outputs ||
        !check_relative_path(path, path)) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}:{}: expected a SHA-256 and a path below prompts or expected, as an interrupted "
                               "`bundle attach` writes them, found something else",
                               file.string(), n_lines)};
    }
    record.files_.emplace(path, hash);
  }
  return record;
}

Result<void> UnfinishedAttach::write() const {
  if (files_.empty()) return {};
  std::string text;
  for (const auto& [path, hash] : files_) text += fmt::format("{}{}{}\n", hash, kBetween, path);
  return write_file(file(), text);
}

Result<void> UnfinishedAttach::finish(const Manifest& manifest) const {
  std::set<fs::path> folders = {folder_};
  for (const auto& [path, recorded] : files_) {
    folders.insert((folder_ / path).parent_path());
    const Result<fs::path> present = resolve_inside(folder_, path);
    if (!present || manifest.find_file(path) != nullptr) continue;
    SS_TRY(const std::string hash, sha256_of_file(*present));
    if (hash == recorded) SS_TRY_VOID(remove_file(folder_ / path));
  }
  for (const fs::path& folder : folders) remove_abandoned(folder);
  return remove_file(file());
}

}  // namespace secondsource
