#pragma once
// Converts the metadata of a GGUF file to the config.json of the class that computes the same model, by mapping
// llama.cpp's names of architectures and keys to those of transformers.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/gguf_files.h"
#include "core/result.h"

namespace secondsource {

/// How a class of transformers is stored in a GGUF file.
struct GgufArchitecture {
  std::string_view name;        ///< general.architecture
  std::string_view class_name;  ///< of config.json
  /// Rows of the q and k projections are permuted so that neighbouring rows are rotated together, while the class
  /// rotates halves.
  bool interleaves_halves = false;
  bool norms_hold_one = false;  ///< norms are stored as 1 + weight
};

/// The architecture of a file. A "llama" with experts and a "deepseek2" with sigmoid scores are classes of their own.
/// Errors: kInvalidInput without general.architecture; kUnsupported, naming an architecture that is not in the table.
Result<const GgufArchitecture*> gguf_architecture(const GgufFiles& files);

/// Values for config.json that are not in the metadata.
struct GgufConfigExtras {
  std::vector<std::int64_t> eos_ids;  ///< all that end a generation
  std::string stored_type;            ///< "float32": that of most of the weights
};

/// The text of a config.json. Errors: kInvalidInput for keys that are missing or of another type; kUnsupported for what
/// the class does not compute.
Result<std::string> gguf_model_config(const GgufFiles& files, const GgufArchitecture& architecture,
                                      const GgufConfigExtras& extras);

}  // namespace secondsource
