#pragma once
// Markdown for a pull request or a step summary: first the gate's table, then the results, then the notes.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "gate/gate_record.h"
#include "report/text_table.h"
#include "summary/portability_record.h"
#include "summary/summarized_run.h"

namespace secondsource {

/// Upper limit of the text in bytes, whatever the input, since a comment on GitHub holds 65536 characters.
inline constexpr std::size_t kMarkdownBytes = 64'000;

/// Rows that do not fit are left out, the worst verdicts only after all others, and a line tells how many. `gate` and
/// `portability` may be null, and `runs` may be empty.
[[nodiscard]] std::string write_markdown(std::span<const SummarizedRun> runs, const GateReport* gate,
                                         const PortabilityMatrix* portability = nullptr);
/// Renders the portability matrix alone.
[[nodiscard]] std::string write_markdown(const PortabilityMatrix& portability);

}  // namespace secondsource
