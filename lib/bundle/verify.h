#pragma once
// Checks that a bundle is complete and consistent: its bytes and its structure. Whether a backend computes the model
// correctly is checked by the `check` command.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "bundle/output_check.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

enum class Severity : std::uint8_t {
  kFault,  ///< the bundle contradicts its manifest or itself
  kNote,   ///< worth knowing, such as "unverified"
};

struct Finding {
  Severity severity = Severity::kFault;
  std::string message;  ///< one line with the object, the expectation and the finding
};

using PromptEncoder = std::function<Result<EncodedPrompts>(const GoldenPrompts&)>;

/// Checks that every listed file has its hash and no file is unlisted; that the family agrees with the configuration and
/// no tensor is unknown to the model; that every weight is finite; that prompts and expected outputs parse; and that
/// expected outputs exist for each blessed variant and agree with the prompts (with `encode`, id by id) and with the
/// configuration. It does not repeat the checks of Bundle::open. It reads every byte and reports progress in MiB.
/// Errors: kIo, kInterrupted; every fault of the bundle is a Finding.
Result<std::vector<Finding>> verify_bundle(const Bundle& bundle, const PromptEncoder& encode, Progress& progress,
                                           const InterruptFlag& interrupt);

}  // namespace secondsource
