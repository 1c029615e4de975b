#pragma once
// Renders the result of `fit`: a table for the terminal, and a document with a picture of each device's memory.

#include "fit/fit_record.h"
#include "report/document.h"

namespace secondsource {

/// One row per device and variant.
[[nodiscard]] TextTable fit_table(const FitReport& report);
/// The request, and the sources of the columns; one string per line.
[[nodiscard]] std::vector<std::string> fit_notes(const FitReport& report);
[[nodiscard]] Document fit_document(const FitReport& report);

}  // namespace secondsource
