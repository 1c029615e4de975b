#include "bundle/describe_model.h"

#include "bundle/bundle.h"
#include "bundle/gguf_folder.h"
#include "bundle/manifest.h"
#include "bundle/quantized_folder.h"
#include "core/file.h"
#include "core/folder.h"

namespace secondsource {

Result<ModelDescription> describe_model(const std::filesystem::path& path, Progress& progress,
                                        const InterruptFlag& interrupt) {
  if (path.extension() == ".gguf") return describe_gguf_model(path);
  if (path.filename() == "config.json") return describe_checkpoint_files(path.parent_path());
  if (path.extension() == ".json") {
    SS_TRY(const std::string text, read_file(path, kMaxConfigBytes));
    return describe_checkpoint(text, path.string());
  }
  if (path_exists(path / "config.json") && !path_exists(path / kManifestFile)) {
    return describe_checkpoint_folder(path, interrupt);
  }
  SS_TRY(const Bundle bundle, Bundle::open(path, progress, interrupt));
  return ModelDescription{.config = bundle.config(), .published = types_of_store(bundle.tensors())};
}

}  // namespace secondsource
