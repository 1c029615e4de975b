#pragma once
// Is a bundle whole and does it agree with itself? Bytes and structure; whether a backend computes it rightly is
// `check`'s work.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"

namespace secondsource {

enum class Severity : std::uint8_t {
  kFault,  ///< the bundle is not what it says
  kNote,   ///< worth knowing: "unverified"
};

struct Finding {
  Severity severity = Severity::kFault;
  std::string message;  ///< one line: object, expectation, finding
};

/// The ids of all golden prompts by prompt id, as the bundle's tokenizer and chat template make them; those of a
/// prompt's document come first.
using EncodedPrompts = std::map<std::string, std::vector<std::int32_t>, std::less<>>;
using PromptEncoder = std::function<Result<EncodedPrompts>(const GoldenPrompts&)>;

/// Checks: every listed file's hash; no file unlisted; the family against the configuration; no tensor that the model
/// does not have; prompts and expected outputs parse; expected outputs exist for each blessed variant, agree with the
/// prompts (with `encode`, id by id) and with the configuration. What Bundle::open refuses is not looked at again.
/// Reads every byte: progress in MiB. Errors: kIo, kInterrupted; everything that is wrong with the bundle is a Finding.
Result<std::vector<Finding>> verify_bundle(const Bundle& bundle, const PromptEncoder& encode, Progress& progress,
                                           const InterruptFlag& interrupt);

}  // namespace secondsource
