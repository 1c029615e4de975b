#pragma once
// Derives from a checkpoint's quantization scheme which published variant keeps its weights unchanged.

#include <string>

#include "backend/op.h"
#include "bundle/checkpoint_scheme.h"
#include "bundle/published_weights.h"
#include "core/result.h"

namespace secondsource {

/// True for AutoAWQ: its variants' names always say that there are zero points, even if all of them are the middle of
/// the codes.
[[nodiscard]] bool always_has_zero_points(const CheckpointScheme& scheme);

/// The form that keeps the matrices of a scheme unchanged, with or without zero points. If there is none: kUnsupported
/// with the reason as a phrase, such as "codes of 2 bits".
Result<PublishedForm> form_of_scheme(const CheckpointScheme& scheme, bool has_zero_points);

/// How the variant of that form quantizes the inputs of its products: as the checkpoint's runtimes do, or kNone where
/// their method is not implemented.
[[nodiscard]] ActQuant act_of_form(const CheckpointScheme& scheme, const PublishedForm& form);

/// The name of the variant of a checkpoint whose matrices all have this form ("gptq-int4-g128").
[[nodiscard]] std::string variant_of_form(const CheckpointScheme& scheme, const PublishedForm& form);

}  // namespace secondsource
