#pragma once
// Renders the brief as a document: first the decision, its cost, the risks, the timeline and the evidence; then the
// details; then an annex that traces every figure back to its source.

#include "brief/brief.h"
#include "report/document.h"

namespace secondsource {

[[nodiscard]] Document brief_document(const Brief& brief);

}  // namespace secondsource
