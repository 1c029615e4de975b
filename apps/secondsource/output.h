#pragma once
// Where a command writes its result: the file of --out, or stdout. It is opened before any work, so that a name that
// cannot be written is refused at once.
//
//   SS_TRY(Output output, Output::open(options.out, {options.input}));
//   ...work...
//   SS_TRY_VOID(output.write(text));

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"
#include "core/result.h"

namespace secondsource {

/// The paths of the files and folders that a command reads; an empty one stands for none.
using InputPaths = std::vector<std::filesystem::path>;

/// Refuses an output that is one of the inputs, also by another name or a link, or that lies in one of them: writing it
/// would destroy what was read. Errors: kInvalidInput.
Result<void> check_is_no_input(const std::filesystem::path& output, const InputPaths& inputs);

class Output {
 public:
  /// An empty path means stdout. Errors: as OutputFile::create(), and as check_is_no_input().
  static Result<Output> open(const std::string& path, const InputPaths& inputs);
  /// Writes the whole result; the file appears only now. Errors: kIo.
  Result<void> write(std::string_view text);

 private:
  explicit Output(std::optional<OutputFile> file) : file_(std::move(file)) {}
  std::optional<OutputFile> file_;
};

}  // namespace secondsource
