#pragma once
// A bundle's model as the folder that inference servers load: configuration, weights, tokenizer, chat templates, as Hugging
// Face writes them, and nothing else of the bundle. So the weights are those of the expected outputs.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "bundle/bundle.h"
#include "core/result.h"

namespace secondsource {

/// The files of the model: their names in such a folder and where they are.
[[nodiscard]] std::vector<std::pair<std::string, std::filesystem::path>> model_files(const Bundle& bundle);

/// The folder with links to the files, in `cache`. It is the same one for the same bundle, because servers tell the path as
/// the name of their model. Errors: kIo, kInvalidInput.
Result<std::filesystem::path> link_model_folder(const Bundle& bundle, const std::filesystem::path& cache);

}  // namespace secondsource
