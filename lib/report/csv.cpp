#include "report/csv.h"

#include <fmt/format.h>

#include <vector>

namespace secondsource {
namespace {

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

template <typename T>
std::string number(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : std::string();
}

struct Column {
  const char* name;
  std::string (*text)(const SummarizedRun&, const CellSummary&);
};

const std::vector<Column>& columns() {
  static const std::vector<Column> kColumns = {
      {"run_id", [](const SummarizedRun& run, const CellSummary&) { return run.summary.run_id; }},
      {"bundle", [](const SummarizedRun&, const CellSummary& c) { return c.key.bundle; }},
      {"backend", [](const SummarizedRun&, const CellSummary& c) { return c.key.backend; }},
      {"variant", [](const SummarizedRun&, const CellSummary& c) { return c.key.variant; }},
      {"scenario", [](const SummarizedRun&, const CellSummary& c) { return c.key.scenario; }},
      {"golden", [](const SummarizedRun&, const CellSummary& c) { return c.golden; }},
      {"status", [](const SummarizedRun&, const CellSummary& c) { return c.status; }},
      {"repetitions", [](const SummarizedRun&, const CellSummary& c) { return fmt::to_string(c.n_repetitions); }},
      {"samples", [](const SummarizedRun&, const CellSummary& c) { return fmt::to_string(c.n_samples); }},
      {"errors", [](const SummarizedRun&, const CellSummary& c) { return fmt::to_string(c.n_errors); }},
      {"ttft_e2e_p50_ns", [](const SummarizedRun&, const CellSummary& c) { return number(c.ttft_e2e_p50_ns.value); }},
      {"ttft_e2e_p50_low_ns", [](const SummarizedRun&, const CellSummary& c) { return number(c.ttft_e2e_p50_ns.low); }},
      {"ttft_e2e_p50_high_ns",
       [](const SummarizedRun&, const CellSummary& c) { return number(c.ttft_e2e_p50_ns.high); }},
      {"ttft_e2e_p95_ns", [](const SummarizedRun&, const CellSummary& c) { return number(c.ttft_e2e_p95_ns.value); }},
      {"ttft_visible_p50_ns",
       [](const SummarizedRun&, const CellSummary& c) { return number(c.ttft_visible_p50_ns.value); }},
      {"ttft_kernel_p50_ns",
       [](const SummarizedRun&, const CellSummary& c) { return number(c.ttft_kernel_p50_ns.value); }},
      {"tpot_p50_ns", [](const SummarizedRun&, const CellSummary& c) { return number(c.tpot_p50_ns.value); }},
      {"itl_p50_ns", [](const SummarizedRun&, const CellSummary& c) { return number(c.itl_p50_ns.value); }},
      {"itl_p99_ns", [](const SummarizedRun&, const CellSummary& c) { return number(c.itl_p99_ns.value); }},
      {"output_tok_per_s", [](const SummarizedRun&, const CellSummary& c) { return number(c.output_tok_per_s.value); }},
      {"output_tok_per_s_low",
       [](const SummarizedRun&, const CellSummary& c) { return number(c.output_tok_per_s.low); }},
      {"output_tok_per_s_high",
       [](const SummarizedRun&, const CellSummary& c) { return number(c.output_tok_per_s.high); }},
      {"decode_tok_per_s", [](const SummarizedRun&, const CellSummary& c) { return number(c.decode_tok_per_s.value); }},
      {"prefill_tok_per_s",
       [](const SummarizedRun&, const CellSummary& c) { return number(c.prefill_tok_per_s.value); }},
      {"tok_per_s_per_user", [](const SummarizedRun&, const CellSummary& c) { return number(c.tok_per_s_per_user); }},
      {"verified_share", [](const SummarizedRun&, const CellSummary& c) { return number(c.verified_share); }},
      {"weights_bytes", [](const SummarizedRun&,
                           const CellSummary& c) { return c.memory ? fmt::to_string(c.memory->weights_bytes) : ""; }},
      {"kv_bytes",
       [](const SummarizedRun&, const CellSummary& c) { return c.memory ? fmt::to_string(c.memory->kv_bytes) : ""; }},
      {"workspace_bytes",
       [](const SummarizedRun&, const CellSummary& c) {
         return c.memory ? fmt::to_string(c.memory->workspace_bytes) : "";
       }},
      {"peak_bytes",
       [](const SummarizedRun&, const CellSummary& c) { return c.memory ? fmt::to_string(c.memory->peak_bytes) : ""; }},
      {"peak_rss_bytes", [](const SummarizedRun&, const CellSummary& c) { return number(c.peak_rss_bytes); }},
      {"usd_per_1k_output", [](const SummarizedRun&, const CellSummary& c) { return number(c.usd_per_1k_output); }},
      {"usd_per_1k_total", [](const SummarizedRun&, const CellSummary& c) { return number(c.usd_per_1k_total); }},
      {"device_hours_per_million",
       [](const SummarizedRun&, const CellSummary& c) { return number(c.device_hours_per_million); }},
      {"others_cpu_share", [](const SummarizedRun&, const CellSummary& c) { return number(c.others_cpu_share); }},
  };
  return kColumns;
}

}  // namespace

std::string write_csv(std::span<const SummarizedRun> runs) {
  std::string out;
  const auto append_line = [&](auto text_of) {
    bool first = true;
    for (const Column& column : columns()) {
      if (!first) out += ",";
      out += csv_field(text_of(column));
      first = false;
    }
    out += "\r\n";
  };
  append_line([](const Column& column) { return std::string(column.name); });
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      append_line([&](const Column& column) { return column.text(run, cell); });
    }
  }
  return out;
}

}  // namespace secondsource
