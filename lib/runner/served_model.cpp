#include "runner/served_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>

#include "core/folder.h"
#include "core/hash.h"
#include "core/staging.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

// The files that transformers and the servers read beside the weights, without code and without other forms of the weights.
constexpr std::array<std::string_view, 12> kModelFiles = {"config.json",        "generation_config.json",
                                                          "tokenizer.json",     "tokenizer_config.json",
                                                          "tokenizer.model",    "vocab.json",
                                                          "merges.txt",         "special_tokens_map.json",
                                                          "added_tokens.json",  "chat_template.jinja",
                                                          "chat_template.json", kWeightIndexFile};

bool is_complete(const fs::path& folder, const std::vector<std::pair<std::string, fs::path>>& files) {
  return std::ranges::all_of(files, [&](const auto& file) {
    std::error_code absent;
    return fs::equivalent(folder / file.first, file.second, absent) && !absent;
  });
}

}  // namespace

std::vector<std::pair<std::string, fs::path>> model_files(const Bundle& bundle) {
  std::vector<std::pair<std::string, fs::path>> files;
  const auto add = [&](std::string_view name) {
    const bool is_listed = bundle.manifest() == nullptr || bundle.manifest()->find_file(name) != nullptr;
    const fs::path path = fs::absolute(bundle.folder() / name);
    if (is_listed && path_exists(path)) files.emplace_back(name, path.lexically_normal());
  };
  for (const std::string_view name : kModelFiles) add(name);
  for (const std::string& name : bundle.tensors().files()) add(name);
  return files;
}

Result<fs::path> link_model_folder(const Bundle& bundle, const fs::path& cache) {
  const auto files = model_files(bundle);
  std::string identity = bundle.content_hash();
  for (const auto& [name, path] : files) identity += fmt::format("\n{}\n{}", name, path.string());
  const fs::path folder = cache / "served" / fmt::format("{}-{:.16}", bundle.name(), sha256_hex(identity));
  if (is_complete(folder, files)) return folder;
  SS_TRY_VOID(create_folder(folder_of(folder)));
  if (path_exists(folder)) SS_TRY_VOID(remove_folder_as_a_whole(folder));
  SS_TRY(const StagedEntry staged, stage_folder(folder));
  std::error_code error;
  for (const auto& [name, path] : files) {
    SS_TRY_VOID(create_folder(folder_of(staged.path / name)));
    fs::create_symlink(path, staged.path / name, error);
    if (error) break;
  }
  if (!error) fs::rename(staged.path, folder, error);
  if (!error || is_complete(folder, files)) return folder;  // another process may have been faster
  (void)discard(staged.path);
  return Error{ErrorCode::kIo, fmt::format("{}: cannot link the model's files: {}", folder.string(), error.message())};
}

}  // namespace secondsource
