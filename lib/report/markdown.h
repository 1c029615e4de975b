#pragma once
// Markdown for a pull request or a step summary: the gate's table first, then the results, then what to know.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "report/gate_record.h"
#include "report/portability_record.h"
#include "report/stored_run.h"
#include "report/text_table.h"

namespace secondsource {

/// A comment on GitHub holds 65536 characters; whatever the input, the text is shorter than this, in bytes.
inline constexpr std::size_t kMarkdownBytes = 64'000;

/// What else belongs to a gate's verdict: which operations lost, how the pairs were run.
struct MarkdownSection {
  std::string heading{};
  TextTable table{};
  std::vector<std::string> lines{};
};

/// What does not fit is left out, the worst verdicts last of all, and a line says how much. `gate` and `portability`
/// may be null, and `runs` empty; `more` follows the gate.
[[nodiscard]] std::string write_markdown(std::span<const SummarizedRun> runs, const GateReport* gate,
                                         std::span<const MarkdownSection> more = {},
                                         const PortabilityMatrix* portability = nullptr);
/// The matrix alone.
[[nodiscard]] std::string write_markdown(const PortabilityMatrix& portability);

}  // namespace secondsource
