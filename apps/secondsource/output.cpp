#include "output.h"

#include "command.h"

namespace secondsource {

Result<Output> Output::open(const std::string& path) {
  if (path.empty()) return Output(std::nullopt);
  SS_TRY(OutputFile file, OutputFile::create(path));
  return Output(std::move(file));
}

Result<void> Output::write(std::string_view text) {
  if (!file_) return print(text);
  SS_TRY_VOID(file_->write(text));
  return file_->commit();
}

}  // namespace secondsource
