#pragma once
// Recognises model folders in formats that this program does not read, so that a refusal says what is there instead of
// which file is missing.

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// A file of another format, and what to do about it.
struct ForeignFile {
  std::string file;         ///< its name in the folder
  std::string_view advice;  ///< a clause such as "a GGUF file; bring ..."
};

/// The advice for a tiktoken file, whatever its name is.
inline constexpr std::string_view kTiktokenAdvice =
    "a tiktoken file, which has neither the pattern nor the special tokens; write tokenizer.json with "
    "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) of transformers";

/// Weights in another format than safetensors; nullopt if the folder has none.
[[nodiscard]] std::optional<ForeignFile> foreign_weights(const std::filesystem::path& folder);
/// The same for the names of the files in a folder that is elsewhere.
[[nodiscard]] std::optional<ForeignFile> foreign_weights_among(std::span<const std::string> names);

/// A tokenizer in another form than tokenizer.json; nullopt if the folder has none.
[[nodiscard]] std::optional<ForeignFile> foreign_tokenizer(const std::filesystem::path& folder);
[[nodiscard]] std::optional<ForeignFile> foreign_tokenizer_among(std::span<const std::string> names);

/// "FOLDER: expected EXPECTED, found FILE: ADVICE", as kUnsupported.
[[nodiscard]] Error refuse_foreign(const std::filesystem::path& folder, std::string_view expected,
                                   const ForeignFile& foreign);

}  // namespace secondsource
