#pragma once
// The brief as pages: the decision first, then what it costs, the risks, the time it takes and what it rests on; then
// the details, and an annex that leads from every figure back to its source.

#include "brief/brief.h"
#include "brief/document.h"

namespace secondsource {

[[nodiscard]] Document brief_document(const Brief& brief);

}  // namespace secondsource
