#include "report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/counted.h"
#include "core/units.h"
#include "report/cell_text.h"
#include "report/chart/bars.h"
#include "report/chart/changes.h"
#include "report/chart/distribution.h"
#include "report/chart/pareto.h"
#include "report/chart/resident_set.h"
#include "report/chart/roofline.h"
#include "report/chart/timeline.h"
#include "report/clock_tables.h"
#include "report/detail_tables.h"
#include "report/disturbances.h"
#include "report/document.h"
#include "report/loss_table.h"
#include "report/notes.h"
#include "report/overview.h"
#include "report/portability_table.h"
#include "report/price_text.h"
#include "report/swap_tables.h"
#include "report/tables.h"
#include "summary/portability.h"

namespace secondsource {
namespace {

constexpr std::size_t kTimelines = 12;

/// A cell with the data that is drawn for it.
struct Drawn {
  const SummarizedRun* run;
  const CellSummary* cell;
  const CellSeries* series;  ///< nullptr if there are no samples
  std::string label;         ///< "cpu bf16"
  SeriesLook look;
};

/// All cells that have credit, each with its label and look. Each backend has one colour and each variant one shape on
/// the whole page. The label includes the run if two runs have the same cell.
class Drawing {
 public:
  explicit Drawing(std::span<const SummarizedRun> runs) {
    std::map<std::string, int> n_runs_of;
    for (const SummarizedRun& run : runs) {
      for (const CellSummary& cell : run.summary.cells) ++n_runs_of[cell.key.id()];
    }
    const bool ambiguous = std::any_of(n_runs_of.begin(), n_runs_of.end(), [](const auto& n) { return n.second > 1; });
    std::map<std::string, std::size_t> colour_of, shape_of;
    for (const SummarizedRun& run : runs) {
      for (const CellSummary& cell : run.summary.cells) {
        const std::string backend = (ambiguous ? run.summary.run_id.substr(0, 8) + " " : "") + cell.key.backend;
        const SeriesLook look{colour_of.emplace(backend, colour_of.size()).first->second,
                              shape_of.emplace(cell.key.variant, shape_of.size()).first->second};
        ++n_rows_;
        if (!has_credit(cell)) continue;
        const auto series = std::find_if(run.series.begin(), run.series.end(),
                                         [&](const CellSeries& one) { return one.cell == cell.key.id(); });
        drawn_.push_back(
            {&run, &cell, series == run.series.end() ? nullptr : &*series, backend + " " + cell.key.variant, look});
      }
    }
  }

  [[nodiscard]] const std::vector<Drawn>& cells() const { return drawn_; }
  [[nodiscard]] bool has_only_rows_without_credit() const { return drawn_.empty() && n_rows_ > 0; }

  /// Groups the cells by name; the groups are in the order of their first cell.
  template <typename Name>
  [[nodiscard]] std::vector<std::pair<std::string, std::vector<Drawn>>> grouped(const Name& name_of) const {
    std::vector<std::pair<std::string, std::vector<Drawn>>> groups;
    for (const Drawn& drawn : drawn_) {
      const std::string name = name_of(drawn);
      auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& one) { return one.first == name; });
      if (group == groups.end()) group = groups.insert(groups.end(), {name, {}});
      group->second.push_back(drawn);
    }
    return groups;
  }

 private:
  std::vector<Drawn> drawn_;
  std::size_t n_rows_ = 0;  ///< with and without credit
};

std::string bundle_of(const Drawn& drawn) {
  return drawn.cell->key.bundle;
}
std::string bundle_and_scenario(const Drawn& drawn) {
  return drawn.cell->key.bundle + ", " + drawn.cell->key.scenario;
}

/// Without a chart, says why: `when_there_are_none` where some row has credit.
void add_charts(Document& document, const Drawing& drawing, const std::vector<Chart>& charts,
                std::string_view when_there_are_none) {
  if (std::any_of(charts.begin(), charts.end(), [](const Chart& chart) { return !chart.body.empty(); })) {
    document.add(Charts{charts});
  } else if (drawing.has_only_rows_without_credit()) {
    document.add(Paragraph{"Not drawn: no row has figures that count: their tokens are wrong or they are INVALID."});
  } else {
    document.add(Paragraph{std::string(when_there_are_none)});
  }
}

void add_pareto(Document& document, const Drawing& drawing) {
  document.add(Section{"throughput", "Throughput against speed for each user"});
  document.add(Paragraph{
      "Higher is more tokens from a device, so cheaper ones; further right is faster text for each user. A line "
      "joins the batch sizes of one backend and variant; a point off the lines was measured at an offered load, "
      "which limits it. No other point is better in both than one on the broad grey line."});
  std::vector<Chart> charts;
  for (const auto& [bundle, cells] : drawing.grouped(bundle_of)) {
    std::vector<ParetoSeries> series;
    for (const Drawn& drawn : cells) {
      const CellSummary& cell = *drawn.cell;
      if (!cell.tok_per_s_per_user || !cell.tok_per_s_per_device) continue;
      auto one = std::find_if(series.begin(), series.end(), [&](const auto& s) { return s.label == drawn.label; });
      if (one == series.end()) one = series.insert(series.end(), {drawn.label, drawn.look, {}});
      // The line joins batch sizes of one kind of request.
      const bool is_beside = cell.scenario.kind == ScenarioKind::kServer || cell.scenario.has_conversations();
      one->points.push_back({cell.key.scenario, is_beside, *cell.tok_per_s_per_user, *cell.tok_per_s_per_device});
    }
    charts.push_back(pareto_chart(bundle, series));
  }
  add_charts(document, drawing, charts, "Not drawn: no cell has both figures.");
}

void add_latency(Document& document, std::span<const SummarizedRun> runs, const Drawing& drawing) {
  document.add(Section{"latency", "How long users wait"});
  document.add(Paragraph{
      "Each line shows the share of all samples that took at most the time below it: further left is better, and "
      "a long way to the top is a long tail. The mark is the median. A percentile is among the numbers only "
      "where there are enough samples for it."});
  const auto add = [&](std::string_view heading, std::string_view of, Distribution CellSeries::*distribution) {
    document.add(Subheading{std::string(heading)});
    std::vector<Chart> charts;
    for (const auto& [name, cells] : drawing.grouped(bundle_and_scenario)) {
      std::vector<DistributionSeries> series;
      for (const Drawn& drawn : cells) {
        if (drawn.series != nullptr) series.push_back({drawn.label, drawn.look, drawn.series->*distribution});
      }
      charts.push_back(distribution_chart(name, of, "ms", series));
    }
    add_charts(document, drawing, charts, "Not drawn: there are no samples.");
  };
  add("Time to first token, from the scheduled arrival", "requests", &CellSeries::ttft_ms);
  add("Time between tokens", "gaps", &CellSeries::itl_ms);
  document.add(
      CaptionedTable{"The time to the first token; a rerun lies within ± with 95 % confidence", latency_table(runs)});
  document.add(
      CaptionedTable{"The time per token; a rerun lies within ± with 95 % confidence", token_time_table(runs)});
  if (TextTable parts = ttft_parts_table(runs); !parts.rows.empty()) {
    document.add(CaptionedTable{"The medians of the parts of the time to the first token", std::move(parts)});
  }
}

/// Draws the cost of a million tokens with an interval derived from that of the speed: a higher speed gives a lower cost.
Bar cost_bar(const Drawn& drawn) {
  const CellSummary& cell = *drawn.cell;
  const double usd_per_million = 1000 * *cell.usd_per_1k_output;
  const double cost_times_rate = usd_per_million * *cell.output_tok_per_s.value;
  Bar bar{.label = drawn.label, .value = usd_per_million, .look = drawn.look};
  if (cell.output_tok_per_s.low && cell.output_tok_per_s.high && *cell.output_tok_per_s.low > 0) {
    bar.low = cost_times_rate / *cell.output_tok_per_s.high;
    bar.high = cost_times_rate / *cell.output_tok_per_s.low;
  }
  return bar;
}

void add_cost(Document& document, const Drawing& drawing) {
  document.add(Section{"cost", "Cost"});
  std::vector<Chart> charts;
  bool without_interval = false;
  for (const auto& [name, cells] : drawing.grouped(bundle_and_scenario)) {
    const bool is_offered = !cells.empty() && !has_capacity(*cells.front().cell);
    std::vector<Bar> bars;
    for (const Drawn& drawn : cells) {
      if (!drawn.cell->usd_per_1k_output || !drawn.cell->output_tok_per_s.value) continue;
      bars.push_back(cost_bar(drawn));
      without_interval = without_interval || !bars.back().low;
    }
    charts.push_back(bar_chart(
        name, is_offered ? "$ per million output tokens at the offered load" : "$ per million output tokens", bars));
  }
  add_charts(document, drawing, charts, "Not drawn: no price was given (--price).");
  if (without_interval) document.add(Paragraph{"Where no interval is drawn, a cell has fewer than three repetitions."});
}

void add_memory(Document& document, const Drawing& drawing) {
  document.add(Section{"memory", "Memory"});
  document.add(
      Paragraph{"What the backend's allocator holds in the scenario that needs most. A mark beyond the parts is the "
                "highest total at any one time."});
  const std::vector<std::string> parts = {"weights", "KV cache", "workspace", "runtime"};
  std::vector<Chart> charts;
  for (const auto& [bundle, cells] : drawing.grouped(bundle_of)) {
    std::vector<std::pair<std::string, MemoryUse>> largest;
    for (const Drawn& drawn : cells) {
      if (!drawn.cell->memory) continue;
      const MemoryUse& memory = *drawn.cell->memory;
      auto one = std::find_if(largest.begin(), largest.end(), [&](const auto& l) { return l.first == drawn.label; });
      if (one == largest.end()) one = largest.insert(largest.end(), {drawn.label, memory});
      if (memory.peak_bytes > one->second.peak_bytes) one->second = memory;
    }
    std::vector<StackedBar> bars;
    for (const auto& [label, memory] : largest) {
      const auto mib = [](std::int64_t bytes) { return static_cast<double>(bytes) / kMebibyte; };
      bars.push_back(
          {label,
           {mib(memory.weights_bytes), mib(memory.kv_bytes), mib(memory.workspace_bytes), mib(memory.runtime_bytes)},
           mib(memory.peak_bytes)});
    }
    charts.push_back(stack_chart(bundle, "MiB", parts, "peak", bars));
  }
  add_charts(document, drawing, charts, "Not drawn: no memory was reported.");
}

void add_roofline(Document& document, std::span<const SummarizedRun> runs, const Drawing& drawing) {
  document.add(Section{"roofline", "Roofline"});
  document.add(Paragraph{
      "Each point shows what the steps of one kind did; the lines show the best that this machine or device did "
      "before the run: the rising one by reading memory (dotted: a cache), the level one by arithmetic. A dashed "
      "line shows where a step did more than that: the machine can do it, and the measured limits are too low."});
  std::vector<Chart> charts;
  const auto add_chart = [&](const SummarizedRun& run, const std::string& of, const MachineLimits& limits,
                             const auto& has_cell) {
    std::vector<RooflinePoint> points;
    for (const Drawn& drawn : drawing.cells()) {
      if (drawn.run != &run || drawn.series == nullptr || !has_cell(drawn.cell->key.backend)) continue;
      for (const StepRate& rate : drawn.series->step_rates) {
        points.push_back({drawn.label, drawn.cell->key.scenario + ", " + rate.kind, drawn.look, rate.flops_per_byte,
                          rate.flops_per_s});
      }
    }
    charts.push_back(roofline_chart("run " + run.summary.run_id.substr(0, 8) + of, limits, points));
  };
  for (const SummarizedRun& run : runs) {
    const auto is_device = [&run](const std::string& name) {
      const auto found = std::ranges::find(run.record.backends, name, &BackendRecord::name);
      return found != run.record.backends.end() && !found->device.is_host;
    };
    const bool has_host = run.record.backends.empty() ||
                          std::ranges::any_of(run.record.backends, [](const auto& one) { return one.device.is_host; });
    if (run.record.limits && has_host) {
      add_chart(run, "", *run.record.limits, [&](const std::string& name) { return !is_device(name); });
    }
    for (const BackendRecord& backend : run.record.backends) {
      if (backend.device.is_host || !backend.limits) continue;
      add_chart(run, ", " + backend.name, *backend.limits,
                [&](const std::string& name) { return name == backend.name; });
    }
  }
  add_charts(document, drawing, charts,
             "Not drawn: the runs have no measured limits of the machine, or no record of the work in their steps.");
}

void add_bounds(Document& document, std::span<const SummarizedRun> runs) {
  document.add(Section{"bounds", "What limits each cell"});
  document.add(
      CaptionedTable{"Cost beside the tail, the device's utilisation and the limit that binds", bound_table(runs)});
  document.add(Bullets{bound_lines(runs)});
}

void add_loads(Document& document, std::span<const SummarizedRun> runs) {
  const TextTable loads = load_table(runs);
  const TextTable clients = client_table(runs);
  if (loads.rows.empty() && clients.rows.empty()) return;
  document.add(Section{"loads", "Loads and promises"});
  if (!loads.rows.empty()) {
    document.add(CaptionedTable{"What was asked for, what was sent, and which requests kept the SLO", loads});
  }
  if (!clients.rows.empty()) {
    document.add(CaptionedTable{"Clients: by how much their times were moved, and how closely that is known", clients});
  }
  if (const TextTable turns = turn_table(runs); !turns.rows.empty()) {
    document.add(
        CaptionedTable{"Conversations: the time to the first token by turn, from when the turn was due", turns});
  }
}

void add_swap(Document& document, std::span<const SummarizedRun> runs, const Drawing& drawing) {
  const TextTable swap = swap_table(runs);
  if (swap.rows.empty()) return;
  document.add(Section{"swap", "Many models on one device"});
  document.add(Paragraph{
      "The models take turns under a memory budget; the least recently used ones are evicted to make room. "
      "Unswapped: the same requests, with each model alone on the device. Loads and evictions are those of one "
      "repetition."});
  std::vector<Chart> charts;
  for (const Drawn& drawn : drawing.cells()) {
    if (drawn.series == nullptr || drawn.series->residents.stays.empty()) continue;
    charts.push_back(resident_set_chart("Resident over time: " + drawn.cell->key.id(), drawn.series->residents));
  }
  if (!charts.empty()) document.add(Charts{charts});
  document.add(CaptionedTable{"The resident set and what swapping costs", swap});
  document.add(
      CaptionedTable{"Each model: memory, beginning of the load to the first token, cost", swap_models_table(runs)});
  document.add(Bullets{swap_lines(runs)});
}

void add_machine(Document& document, std::span<const SummarizedRun> runs) {
  TextTable machine = machine_table(runs, SensorChoice::kAll);
  if (machine.rows.empty()) return;
  document.add(Section{"machine", "What the machine did meanwhile"});
  document.add(CaptionedTable{"CPUs, power and the device's sensors, medians over repetitions", std::move(machine)});
  document.add(Bullets{machine_lines(runs)});
}

void add_portability(Document& document, const PortabilityMatrix& matrix) {
  document.add(Section{"portability", "Portability"});
  document.add(Paragraph{
      "Each figure is the share of the roofline that an operation reached in a traced pass; \"passed\" is the "
      "verdict of the conformance suite on the same module. The last column is the harmonic mean over the "
      "platforms, and 0 where one of them cannot run the operation: read it only beside its parts."});
  document.add(
      CaptionedTable{"Operation, type of weights and class of shapes on every platform", portability_table(matrix)});
  document.add(Bullets{matrix.notes});
}

void add_timelines(Document& document, const Drawing& drawing) {
  document.add(Section{"timeline", "One repetition as it went"});
  std::vector<Chart> charts;
  std::size_t n_left_out = 0;
  for (const Drawn& drawn : drawing.cells()) {
    if (drawn.series == nullptr || drawn.series->timeline.empty()) continue;
    if (charts.size() == kTimelines) {
      ++n_left_out;
      continue;
    }
    charts.push_back(timeline_chart(drawn.cell->key.id(), drawn.series->timeline, drawn.series->n_left_out));
  }
  add_charts(document, drawing, charts, "Not drawn: there are no samples.");
  if (n_left_out > 0)
    document.add(
        Paragraph{fmt::format("{} in samples.jsonl.", counted(n_left_out, "more cell is not drawn; its samples are",
                                                              "more cells are not drawn; their samples are"))});
}

TextTable facts_table(const RunRecord& record) {
  TextTable table;
  table.columns = {"fact", "value"};
  table.right_aligned = {false, false};
  const auto add = [&](std::string name, std::string value) {
    table.rows.push_back({std::move(name), std::move(value)});
  };
  add("run", record.run_id);
  add("started", record.started_utc);
  for (const std::string& resumed : record.resumed_utc) add("resumed", resumed);
  add("program", fmt::format("secondsource {} ({}), {}, {}", record.program_version, record.commit, record.compiler,
                             record.build_type));
  add("method version", fmt::to_string(record.method_version));
  add("suite, seed", fmt::format("{}, {}", record.suite, record.seed));
  for (const BundleRecord& bundle : record.bundles) add("bundle " + bundle.name, "sha256 " + bundle.content_sha256);
  for (const BackendRecord& backend : record.backends) {
    if (!backend.unavailable.empty()) {
      add("backend " + backend.name, "not run: " + backend.unavailable);
      continue;
    }
    std::string text = fmt::format("{}; {}", backend.device.name, identity_text(backend));
    for (const auto& [name, value] : backend.options) text += fmt::format("; {} {}", name, value);
    add("backend " + backend.name, std::move(text));
  }
  for (auto& [name, text] : price_lines(record)) add(std::move(name), std::move(text));
  for (const HostFact& fact : record.host) add(fact.name, fact.value.value_or(fact.why_not));
  return table;
}

std::string command_of(const RunRecord& record) {
  std::string text;
  for (const std::string& word : record.command) text += (text.empty() ? "" : " ") + word;
  return text;
}

void add_evidence(Document& document, std::span<const SummarizedRun> runs) {
  document.add(Section{"evidence", "Where this was measured"});
  for (const SummarizedRun& run : runs) {
    document.add(Subheading{"Run " + run.summary.run_id});
    document.add(Bullets{run_header(run)});
    document.add(Command{command_of(run.record)});
    document.add(FoldedTable{"Machine, hashes and settings of run " + run.summary.run_id, facts_table(run.record)});
  }
}

/// Returns "Run 0123abcd of 2026-11-20T08:00:00Z on AMD EPYC, 2 CPUs".
std::string lead_of(std::span<const SummarizedRun> runs) {
  std::string lead;
  for (const SummarizedRun& run : runs) {
    lead += fmt::format("{}Run {} of {} on {}, {} CPUs", lead.empty() ? "" : "; ", run.record.run_id.substr(0, 8),
                        run.record.started_utc, fact(run.record.host, "cpu_model").value_or("?"),
                        fact(run.record.host, "logical_cpus").value_or("?"));
  }
  return lead + ".";
}

void add_runs(Document& document, std::span<const SummarizedRun> runs, const PortabilityMatrix* portability) {
  const Drawing drawing(runs);
  add_pareto(document, drawing);
  add_latency(document, runs, drawing);
  add_cost(document, drawing);
  add_memory(document, drawing);
  add_roofline(document, runs, drawing);
  add_bounds(document, runs);
  add_loads(document, runs);
  add_swap(document, runs, drawing);
  add_machine(document, runs);
  if (portability != nullptr && !portability->rows.empty()) add_portability(document, *portability);
  add_timelines(document, drawing);
}

void add_tables(Document& document, std::span<const SummarizedRun> runs) {
  document.add(Section{"results", "Every cell"});
  document.add(CaptionedTable{"Medians over requests and repetitions; - is what was not measured or not supported",
                              results_table(runs)});
  document.add(Bullets{result_notes(runs)});
  if (TextTable disturbances = disturbance_table(runs); !disturbances.rows.empty()) {
    document.add(FoldedTable{"Every check that was not passed, by cell", std::move(disturbances)});
  }
  const TextTable golden = golden_table(runs);
  if (!golden.rows.empty()) {
    document.add(Section{"golden", "Golden pass"});
    document.add(CaptionedTable{"Positions of the golden prompts judged against the reference", golden});
  }
  add_evidence(document, runs);
}

}  // namespace

std::string write_html(const PortabilityMatrix& portability) {
  std::string lead;
  for (const PortabilityPlatform& platform : portability.platforms) {
    lead += fmt::format("{}{} on {}", lead.empty() ? "" : "; ", platform.backend, platform.device);
  }
  Document document{"secondsource portability", lead + ".", {}};
  add_portability(document, portability);
  return render_html(document);
}

std::string write_html(std::span<const SummarizedRun> runs, const HtmlExtras& extras) {
  Document document{"secondsource report", runs.empty() ? "A gate's verdict." : lead_of(runs), {}};
  document.add(Section{"summary", "Summary"});
  for (const VerdictLine& line : verdict_lines(runs, extras.gate)) document.add(Callout{line.tone, line.text});
  if (!runs.empty()) {
    document.add(
        CaptionedTable{"Each backend and variant at its best, with the scenario; no figure without right tokens",
                       overview_table(runs)});
  }
  if (extras.gate != nullptr) {
    document.add(Section{"gate", "Gate"});
    if (!extras.gate->verdicts.empty())
      document.add(CaptionedTable{"Every cell and metric that was compared", gate_table(*extras.gate)});
    document.add(Charts{std::vector<Chart>{changes_chart("Changes from base to candidate", *extras.gate)}});
    document.add(Bullets{gate_notes(*extras.gate)});
    if (TextTable losses = loss_table(*extras.gate); !losses.rows.empty()) {
      document.add(CaptionedTable{"Where the time went: the operations of the regressed cells", std::move(losses)});
    }
    document.add(Bullets{extras.gate->compared});
  }
  if (!runs.empty()) add_runs(document, runs, extras.portability);
  if (!extras.history.empty() || !extras.history_absent.empty()) {
    document.add(Section{"history", "History"});
    if (!extras.history.empty()) document.add(Charts{{extras.history.begin(), extras.history.end()}});
    document.add(Bullets{{extras.history_absent.begin(), extras.history_absent.end()}});
  }
  if (!runs.empty()) add_tables(document, runs);
  return render_html(document);
}

}  // namespace secondsource
