#pragma once
// A bundle's model as the folder that inference servers load: configuration, weights, tokenizer and chat templates in
// Hugging Face's format, and nothing else of the bundle. Servers therefore use the same weights as the expected
// outputs.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "bundle/bundle.h"
#include "core/result.h"

namespace secondsource {

/// The files of the model: their names in such a folder and where they are.
[[nodiscard]] std::vector<std::pair<std::string, std::filesystem::path>> model_files(const Bundle& bundle);

/// A folder in `cache` with links to the files. It is always the same folder for the same bundle, because servers
/// report the path as the name of their model. Errors: kIo, kInvalidInput.
Result<std::filesystem::path> link_model_folder(const Bundle& bundle, const std::filesystem::path& cache);

}  // namespace secondsource
