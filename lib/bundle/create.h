#pragma once
// Makes a bundle from a Hugging Face folder or a GGUF file: copies or converts the files that belong to it, hashes them and
// writes the manifest.
// bundles/recipes/expect.py adds expected outputs later; until then the bundle is unverified.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bundle/smoothing.h"
#include "bundle/weight_conversion.h"
#include "chat/chat_template.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

struct CreateOptions {
  /// Holds config.json, safetensors (sharded or not) in F32, F16, BF16 or a form of quantized_folder.h, and tokenizer.json.
  std::filesystem::path model_folder;
  /// Instead of the folder: a GGUF file, or the first part of a split one.
  std::filesystem::path gguf_file = {};
  std::string name;                 ///< the bundle's name; empty means the folder's or the file's name
  std::string license = "unknown";  ///< the license of the weights
  std::string source_url;
  std::string source_description = {};  ///< where the weights come from; empty means the name of the folder or file
  /// The files of model_folder are about to be removed: the bundle takes them by hard links where that is possible.
  bool takes_files = false;
  std::optional<std::filesystem::path> prompts;  ///< a folder of suites (*.yaml) with their documents
  /// A name (chat/named_templates.h), the path of a Jinja file, or "none"; absent: the model's own.
  std::optional<std::string> chat_template = std::nullopt;
  std::optional<SmoothingPlan> smoothing = std::nullopt;  ///< of a model_folder with weights in BF16 or F32
  QuantizedWeights quantized_weights = QuantizedWeights::kAsCodes;
  std::string chat_date = std::string(kDefaultChatDate);  ///< YYYY-MM-DD: today for the template
};

/// Checks the name and the prompts before any work, such as a download, with the same rules as create_bundle(). Errors:
/// kInvalidInput, kIo.
Result<void> check_create_options(const CreateOptions& options);

/// Writes the bundle to `target`, which must not exist or be an empty folder; an interrupted attempt leaves nothing
/// there. Errors: kInvalidInput, kUnsupported (naming an architecture outside the family), kIo, kInterrupted.
Result<void> create_bundle(const CreateOptions& options, const std::filesystem::path& target, Progress& progress,
                           const InterruptFlag& interrupt);

}  // namespace secondsource
