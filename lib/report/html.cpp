#include "report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "report/tables.h"

namespace secondsource {
namespace {

constexpr const char* kStyle = R"(
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d8dee4; }
th { border-bottom: 2px solid #8c959f; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
ul { padding-left: 1.2rem; } svg { max-width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: #1b1f24; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } tr, svg { break-inside: avoid; } }
)";

struct Bar {
  std::string label;
  double value = 0;
  std::string text;
};

/// Horizontal bars from zero, one a label: honest lengths and no axis to misread.
std::string bar_chart(const std::string& title, const std::vector<Bar>& bars) {
  if (bars.empty()) return "";
  constexpr int kRow = 24;
  constexpr int kLabelWidth = 330;
  constexpr int kBarWidth = 480;
  double largest = 0;
  for (const Bar& bar : bars) largest = std::max(largest, bar.value);
  if (!(largest > 0)) return "";
  const int height = kRow * static_cast<int>(bars.size()) + 8;
  std::string out =
      fmt::format("<h2>{}</h2>\n<svg viewBox=\"0 0 960 {}\" width=\"960\" role=\"img\" aria-label=\"{}\">\n",
                  escape_markup(title), height, escape_markup(title));
  int y = 4;
  for (const Bar& bar : bars) {
    const double width = kBarWidth * bar.value / largest;
    out += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", kLabelWidth - 8, y + 16,
                       escape_markup(bar.label));
    out += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"16\" fill=\"#3b6ea5\"/>", kLabelWidth, y + 3,
                       width);
    out += fmt::format("<text x=\"{:.1f}\" y=\"{}\">{}</text>\n", kLabelWidth + width + 6, y + 16,
                       escape_markup(bar.text));
    y += kRow;
  }
  return out + "</svg>\n";
}

/// Bars of one figure over the cells that have credit for it.
template <typename Value>
std::string cell_chart(std::span<const SummarizedRun> runs, const std::string& title, const char* format,
                       Value value_of) {
  std::vector<Bar> bars;
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      const std::optional<double> value = value_of(cell);
      if (!value || cell.golden == "failed" || cell.status == "invalid") continue;
      bars.push_back({cell.key.id(), *value, fmt::format(fmt::runtime(format), *value)});
    }
  }
  return bar_chart(title, bars);
}

std::string list(const std::vector<std::string>& lines) {
  if (lines.empty()) return "";
  std::string out = "<ul>\n";
  for (const std::string& line : lines) out += "<li>" + escape_markup(line) + "</li>\n";
  return out + "</ul>\n";
}

}  // namespace

std::string write_html(std::span<const SummarizedRun> runs, const GateReport* gate) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>secondsource</title><style>";
  out += std::string(kStyle) + "</style></head><body>\n<h1>secondsource</h1>\n";
  if (gate != nullptr) {
    out += "<h2>Gate: " + escape_markup(gate_headline(*gate)) + "</h2>\n";
    if (!gate->verdicts.empty()) out += render_html(gate_table(*gate));
    out += list(gate_notes(*gate));
  }
  out += "<h2>Results</h2>\n" + render_html(results_table(runs));
  const auto notes = result_notes(runs);
  if (!notes.empty()) out += "<h2>Notes</h2>\n" + list(notes);
  out += cell_chart(runs, "Output tokens/s", "{:.1f}",
                    [](const CellSummary& cell) { return cell.output_tok_per_s.value; });
  out += cell_chart(runs, "Time to first token, median, ms", "{:.2f}", [](const CellSummary& cell) {
    return cell.ttft_e2e_p50_ns.value ? std::optional<double>(*cell.ttft_e2e_p50_ns.value / 1e6) : std::nullopt;
  });
  out += cell_chart(runs, "$ per 1K output tokens", "{:.3g}",
                    [](const CellSummary& cell) { return cell.usd_per_1k_output; });
  out += cell_chart(runs, "Peak memory, MiB", "{:.1f}", [](const CellSummary& cell) {
    return cell.memory ? std::optional<double>(static_cast<double>(cell.memory->peak_bytes) / (1 << 20)) : std::nullopt;
  });
  const TextTable golden = golden_table(runs);
  if (!golden.rows.empty()) out += "<h2>Golden pass</h2>\n" + render_html(golden);
  out += "<h2>Where this was measured</h2>\n";
  for (const SummarizedRun& run : runs) out += list(run_header(run));
  return out + "</body></html>\n";
}

}  // namespace secondsource
