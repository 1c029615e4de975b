#pragma once
// Every figure of every cell, one row a cell, RFC 4180; what is unknown, or has no credit, is an empty field.

#include <span>
#include <string>

#include "report/stored_run.h"

namespace secondsource {

[[nodiscard]] std::string write_csv(std::span<const SummarizedRun> runs);

}  // namespace secondsource
