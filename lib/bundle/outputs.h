#pragma once
// Expected outputs as files of their own, which somebody else can publish without the weights (docs/making-bundles.md,
// "Expected outputs by themselves"): a bundle's manifest, prompts and expected outputs, in a folder or a zip. They belong
// to the model files whose hashes that manifest lists.

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "bundle/output_check.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

/// Copies manifest, prompts and expected outputs of a bundle into `target`, which must not exist or be an empty folder.
/// Errors: kInvalidInput where there are no expected outputs, kIo, kInterrupted.
Result<void> write_outputs(const Bundle& bundle, const std::filesystem::path& target, Progress& progress,
                           const InterruptFlag& interrupt);

struct AttachOptions {
  std::filesystem::path bundle;   ///< a bundle's folder, which is changed in place
  std::filesystem::path outputs;  ///< what write_outputs() made, a zip of it, or another bundle of the same model
  bool replaces = false;  ///< take the prompts and outputs also where the bundle has other ones, which are dropped
};

/// Encodes prompts with the tokenizer and the chat template of the given bundle.
using PromptEncoderOf = std::function<Result<EncodedPrompts>(const Bundle&, const GoldenPrompts&)>;

struct AttachedOutputs {
  std::vector<std::string> variants;  ///< those that now have expected outputs, in the order of the manifest
  std::size_t n_prompts = 0;
  ExpectedFrom from;
};

/// Adds expected outputs, with their prompts, to a bundle. It first checks that the model files of both manifests are
/// the same by path and hash and that the bundle's files have these hashes; that the files of the outputs have their
/// hashes; that each output belongs to a prompt; and that the bundle's tokenizer and template encode each prompt to the
/// ids that were answered. Variants without expected outputs are removed from the manifest. The manifest is written
/// last and never lists a file that is about to change, so an attempt that was killed can be repeated, which also removes
/// the files that it left over (unfinished_attach.h). The bundle's folder is locked, so of two processes that change one
/// bundle each finds what the other wrote. Errors: kInvalidInput, kUnsupported, kIo, kInterrupted.
Result<AttachedOutputs> attach_outputs(const AttachOptions& options, const PromptEncoderOf& encode, Progress& progress,
                                       const InterruptFlag& interrupt);

}  // namespace secondsource
