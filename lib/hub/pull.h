#pragma once
// From a model's name on a hub to verified files in a folder, of which bundle/create.h makes a bundle:
//
//   SS_TRY(const PulledModel model, pull_model(name, settings, "smollm2", progress, interrupt));
//   SS_TRY_VOID(create_bundle({.model_folder = model.folder.files(), ...}, "smollm2", progress, interrupt));
//   SS_TRY_VOID(model.folder.remove());

#include <filesystem>
#include <string>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "hub/hub_settings.h"
#include "hub/model_name.h"
#include "hub/pull_folder.h"

namespace secondsource {

struct PulledModel {
  PullFolder folder;
  std::filesystem::path gguf_file;  ///< the file, or the first part of a split one; empty: a Hugging Face folder
  std::string commit;
  std::string license;      ///< as the model's card has it; empty: none
  std::string description;  ///< for the manifest: repository, revision and commit
  std::string url;          ///< of the commit's page
};

/// `bundle` is where the bundle will be; the files are collected beside it. The configuration comes first, so that a
/// model of another architecture is refused before its weights are pulled. Errors: kInvalidInput, kUnsupported, kIo,
/// kInterrupted; after any of them the same call resumes with the files that are there.
Result<PulledModel> pull_model(const HubModelName& model, HubSettings settings, const std::filesystem::path& bundle,
                               Progress& progress, const InterruptFlag& interrupt);

}  // namespace secondsource
