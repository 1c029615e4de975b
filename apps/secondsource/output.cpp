#include "output.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <utility>

#include "command.h"
#include "core/folder.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

/// What a file or folder is, whatever its name: its device and its number there. nullopt if there is none.
std::optional<std::pair<dev_t, ino_t>> identity_of(const fs::path& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) return std::nullopt;
  return std::pair(found.st_dev, found.st_ino);
}

}  // namespace

Result<void> check_is_no_input(const fs::path& output, const InputPaths& inputs) {
  const auto own = identity_of(output);
  std::error_code ignored;  // an output whose folder cannot be found is refused when it is created
  const fs::path folder = fs::weakly_canonical(folder_of(output), ignored);
  for (const fs::path& input : inputs) {
    const auto read = identity_of(input);
    if (!read) continue;  // its reader says what is missing
    if (read == own && !fs::is_directory(output, ignored)) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected another file than the input {}, found the same",
                                                         output.string(), input.string())};
    }
    for (fs::path above = folder; !above.empty(); above = above.parent_path()) {
      if (read == identity_of(above)) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("{}: expected a file outside of the input {}, found one in it", output.string(),
                                 input.string())};
      }
      if (above == above.parent_path()) break;
    }
  }
  return {};
}

Result<Output> Output::open(const std::string& path, const InputPaths& inputs) {
  if (path.empty()) return Output(std::nullopt);
  SS_TRY_VOID(check_is_no_input(path, inputs));
  SS_TRY(OutputFile file, OutputFile::create(path));
  return Output(std::move(file));
}

Result<void> Output::write(std::string_view text) {
  if (!file_) return print(text);
  SS_TRY_VOID(file_->write(text));
  return file_->commit();
}

}  // namespace secondsource
