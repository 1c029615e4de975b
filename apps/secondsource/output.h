#pragma once
// Where a command writes its result: the file of --out, or stdout. It is opened before any work, so that a name that
// cannot be written is refused at once.
//
//   SS_TRY(Output output, Output::open(options.out));
//   ...work...
//   SS_TRY_VOID(output.write(text));

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/file.h"
#include "core/result.h"

namespace secondsource {

class Output {
 public:
  /// An empty path means stdout. Errors: as OutputFile::create().
  static Result<Output> open(const std::string& path);
  /// Writes the whole result; the file appears only now. Errors: kIo.
  Result<void> write(std::string_view text);

 private:
  explicit Output(std::optional<OutputFile> file) : file_(std::move(file)) {}
  std::optional<OutputFile> file_;
};

}  // namespace secondsource
