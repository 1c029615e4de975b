#pragma once
// Derives from a checkpoint's quantization scheme which published variant keeps its weights unchanged.

#include <string>

#include "backend/op.h"
#include "bundle/checkpoint_scheme.h"
#include "bundle/published_weights.h"
#include "core/result.h"

namespace secondsource {

/// True if the names of the method's variants say that there are zero points, though they may all be the middle of the codes: AutoAWQ's.
[[nodiscard]] bool always_has_zero_points(const CheckpointScheme& scheme);

/// The form in which matrices that a scheme describes are kept unchanged, with or without zero points. kUnsupported with the reason, as
/// a phrase such as "codes of 2 bits", where there is none.
Result<PublishedForm> form_of_scheme(const CheckpointScheme& scheme, bool has_zero_points);

/// How the variant of that form quantizes the inputs of its products: as the checkpoint's runtimes do, or not at all where their way is
/// not computed.
[[nodiscard]] ActQuant act_of_form(const CheckpointScheme& scheme, const PublishedForm& form);

/// The name of the variant of a checkpoint whose matrices all have this form ("gptq-int4-g128").
[[nodiscard]] std::string variant_of_form(const CheckpointScheme& scheme, const PublishedForm& form);

}  // namespace secondsource
