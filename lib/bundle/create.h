#pragma once
// A bundle from a Hugging Face folder: copies what belongs to it, hashes it, writes the manifest. Expected outputs come
// later, from bundles/recipes/expect.py; until then the bundle is unverified.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

struct CreateOptions {
  std::filesystem::path
      model_folder;                 ///< config.json, safetensors in F32, F16 or BF16 (sharded or not), tokenizer.json
  std::string name;                 ///< of the bundle; empty: the folder's
  std::string license = "unknown";  ///< of the weights
  std::string source_url;
  std::optional<std::filesystem::path> prompts;  ///< a folder of suites (*.yaml, with their documents)
};

/// Writes the bundle to `target`, which must be free; an interrupted attempt leaves nothing there.
/// Errors: kInvalidInput, kUnsupported (an architecture outside the family, by its name), kIo, kInterrupted.
Result<void> create_bundle(const CreateOptions& options, const std::filesystem::path& target, Progress& progress,
                           const InterruptFlag& interrupt);

}  // namespace secondsource
