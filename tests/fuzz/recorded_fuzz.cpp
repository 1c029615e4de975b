// Fuzzes the readers of recorded conversations, their redaction, and the suite that is made of them. Three bits of the
// first byte choose the format and one bit the turn.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/utf8.h"
#include "recorded/import.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  if (size == 0) return 0;
  ReadRecordedOptions options;
  if (data[0] % 8 >= names_of(RecordedFormat()).size()) return 0;
  options.format = static_cast<RecordedFormat>(data[0] % 8);
  options.turn = static_cast<RecordedTurn>(data[0] / 8 % 2);
  options.separator = "---";
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  Result<RecordedFile> file = read_recorded(text, "fuzz", options);
  if (!file) return 0;
  const PromptImportOptions import{.name = "fuzz", .license = "none", .tags = {"full"}, .own_patterns = {"[0-9]{3}"}};
  const Result<ImportedSuite> suite = import_prompts({std::move(file).value()}, import, {});
  if (!suite) {
    if (suite.error().code == ErrorCode::kInternal) std::abort();
    return 0;
  }
  if (find_invalid_utf8(suite->text)) std::abort();
  return 0;
}
