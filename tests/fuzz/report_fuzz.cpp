// Fuzzes the writers of reports. The first byte of the input chooses the format; the rest is the text of every field of a
// small run and a gate. Only the first 256 bytes of text are used, because hundreds of fields hold it and escaping depends
// on few bytes.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "report/csv.h"
#include "report/document.h"
#include "report/junit.h"
#include "report/markdown.h"
#include "report/notes.h"
#include "report/openmetrics.h"
#include "report/sarif.h"
#include "report/tables.h"
#include "support/hostile_texts.h"
#include "unit/summary/sample_run.h"

namespace {

using namespace secondsource;

const SummarizedRun& plain_run() {
  static const SummarizedRun kRun = [] {
    RunRecord record = test::hand_made_record(1);
    RunSummary summary = summarize(record, test::hand_made_journal(1, 2));
    return SummarizedRun{std::move(record), std::move(summary)};
  }();
  return kRun;
}

GateReport gate_of(const std::string& text) {
  GateReport gate;
  gate.verdicts.push_back(
      {.cell = test::cell_key("cpu"), .metric = "cost", .decision = Decision::kRegressed, .why = "why"});
  gate.not_comparable = {"a cell"};
  test::fill_texts(gate, text);
  return gate;
}

constexpr int kFormats = 7;

std::string rendered(std::uint8_t format, const SummarizedRun& run, const GateReport& gate) {
  const std::span<const SummarizedRun> runs(&run, 1);
  switch (format % kFormats) {
    case 0:
      return terminal_lines(run_header(run)) + render_terminal(results_table(runs)) + terminal_lines(gate_notes(gate));
    case 1:
      return write_markdown(runs, &gate);
    case 2:
      return write_junit(runs, &gate);
    case 3:
      return write_sarif(gate);
    case 4: {
      std::string csv = write_csv(runs);
      std::erase(csv, '\r');
      return csv;
    }
    case 5:
      return write_openmetrics(runs);
    default:
      return render_html(results_table(runs), {.caption = run.summary.run_id, .caption_id = "n"});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, std::min<std::size_t>(size - 1, 256));
  SummarizedRun run = plain_run();
  test::fill_texts(run.record, text);
  test::fill_texts(run.summary, text);
  const std::string written = rendered(data[0], run, gate_of(text));
  if (test::acting_sequence(written)) std::abort();
  const int format = data[0] % kFormats;
  const bool is_markup = format == 1 || format == 2 || format == 6;
  if (is_markup && written.find("<script") != std::string::npos) std::abort();
  return 0;
}
