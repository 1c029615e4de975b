#include "report/openmetrics.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/calendar.h"
#include "core/enum_names.h"
#include "core/utf8.h"
#include "history/history.h"
#include "report/disturbances.h"
#include "report/tables.h"

namespace secondsource {
namespace {

constexpr double kNsPerSecond = 1e9;

/// A metric: its name without the prefix, which ends with its unit, if it has one.
struct MetricName {
  std::string_view name;
  std::string_view unit;
  std::string_view help;
};

constexpr MetricName kRun = {"run_info", "", "A run: what measured, and when it was built."};
constexpr MetricName kBackend = {"backend_info", "", "A backend of a run and its device."};
constexpr MetricName kMeasured = {"cell_measured_timestamp_seconds", "seconds",
                                  "When the run began that measured this."};
constexpr MetricName kGolden = {"cell_golden", "", "The verdict on the generated tokens: 1 for the one that holds."};
constexpr MetricName kStatus = {"cell_status", "", "The state of the measurement: 1 for the one that holds."};
constexpr MetricName kOutsideLimits = {"cell_outside_limits", "",
                                       "1 if the variant is outside the limits of its quality: it decides no gate."};
constexpr MetricName kSuspect = {"cell_suspect", "",
                                 "1 if a disturbance of the measurement could change a conclusion from it."};
constexpr MetricName kSamples = {"cell_samples", "", "Requests that were measured."};
constexpr MetricName kErrors = {"cell_errors", "", "Requests that failed."};

/// A figure of a cell. Its value in the summary divided by `divisor` is in the unit of the metric.
struct Figure {
  MetricName metric;
  double divisor;
  std::optional<double> (*value)(const CellSummary&);
  std::optional<double> HistoryCell::*exported = nullptr;  ///< null: a history does not store it
};

template <auto Member>
std::optional<double> figure(const CellSummary& cell) {
  if constexpr (requires {
                  (cell.*Member).value;
                  (cell.*Member).why_not;
                }) {
    return (cell.*Member).value;
  } else {
    return cell.*Member ? std::optional<double>(static_cast<double>(*(cell.*Member))) : std::nullopt;
  }
}

template <auto Bound>
std::optional<double> first_token_bound(const CellSummary& cell) {
  return cell.ttft_e2e_p50_ns.*Bound;
}

template <auto Bound>
std::optional<double> output_rate_bound(const CellSummary& cell) {
  return cell.output_tok_per_s.*Bound;
}

template <auto Part>
std::optional<double> memory(const CellSummary& cell) {
  return cell.memory ? std::optional<double>(static_cast<double>((*cell.memory).*Part)) : std::nullopt;
}

constexpr Figure kFigures[] = {
    {{"ttft_e2e_p50_seconds", "seconds", "Time to the first token, median."},
     kNsPerSecond,
     figure<&CellSummary::ttft_e2e_p50_ns>,
     &HistoryCell::ttft_e2e_p50_ns},
    {{"ttft_e2e_p50_low_seconds", "seconds", "Where the median of a rerun lies with 95 % confidence: lower end."},
     kNsPerSecond,
     first_token_bound<&Estimate::low>},
    {{"ttft_e2e_p50_high_seconds", "seconds", "Where the median of a rerun lies with 95 % confidence: upper end."},
     kNsPerSecond,
     first_token_bound<&Estimate::high>},
    {{"ttft_e2e_p95_seconds", "seconds", "Time to the first token, 95th percentile."},
     kNsPerSecond,
     figure<&CellSummary::ttft_e2e_p95_ns>,
     &HistoryCell::ttft_e2e_p95_ns},
    {{"ttft_e2e_p99_seconds", "seconds", "Time to the first token, 99th percentile."},
     kNsPerSecond,
     figure<&CellSummary::ttft_e2e_p99_ns>},
    {{"tpot_p50_seconds", "seconds", "Time per output token of a request, median."},
     kNsPerSecond,
     figure<&CellSummary::tpot_p50_ns>,
     &HistoryCell::tpot_p50_ns},
    {{"itl_p99_seconds", "seconds", "Time between consecutive tokens, 99th percentile."},
     kNsPerSecond,
     figure<&CellSummary::itl_p99_ns>,
     &HistoryCell::itl_p99_ns},
    {{"e2e_p50_seconds", "seconds", "Time of a whole request, median."},
     kNsPerSecond,
     figure<&CellSummary::e2e_p50_ns>},
    {{"output_tokens_per_second", "", "Output tokens per second of the whole cell."},
     1,
     figure<&CellSummary::output_tok_per_s>,
     &HistoryCell::output_tok_per_s},
    {{"output_tokens_per_second_low", "", "Where the rate of a rerun lies with 95 % confidence: lower end."},
     1,
     output_rate_bound<&Estimate::low>},
    {{"output_tokens_per_second_high", "", "Where the rate of a rerun lies with 95 % confidence: upper end."},
     1,
     output_rate_bound<&Estimate::high>},
    {{"decode_tokens_per_second", "", "Tokens per second of the steps that only generate."},
     1,
     figure<&CellSummary::decode_tok_per_s>},
    {{"prefill_tokens_per_second", "", "Tokens per second of the steps that only read prompts."},
     1,
     figure<&CellSummary::prefill_tok_per_s>},
    {{"requested_requests_per_second", "", "Open loop: the rate of requests that was asked for or found."},
     1,
     figure<&CellSummary::rate_per_s>},
    {{"goodput_requests_per_second", "", "Requests per second that kept the SLO."},
     1,
     figure<&CellSummary::goodput_req_per_s>},
    {{"slo_attainment_ratio", "ratio", "Share of the requests that kept the SLO."},
     1,
     figure<&CellSummary::slo_attainment>},
    {{"usd_per_1k_output_tokens", "", "Cost of a thousand output tokens in US dollars."},
     1,
     figure<&CellSummary::usd_per_1k_output>,
     &HistoryCell::usd_per_1k_output},
    {{"memory_peak_bytes", "bytes", "What the backend allocated at most."},
     1,
     memory<&MemoryUse::peak_bytes>,
     &HistoryCell::peak_bytes},
    {{"memory_weights_bytes", "bytes", "Memory of the weights."}, 1, memory<&MemoryUse::weights_bytes>},
    {{"memory_kv_bytes", "bytes", "Memory of the KV cache."}, 1, memory<&MemoryUse::kv_bytes>},
    {{"memory_workspace_bytes", "bytes", "Memory of activations and workspace."},
     1,
     memory<&MemoryUse::workspace_bytes>},
    {{"device_utilisation_ratio", "ratio", "Share of the time in which the device had work."},
     1,
     figure<&CellSummary::device_utilisation>},
    {{"verified_tokens_ratio", "ratio", "Share of the timed output tokens that equal the expected ones."},
     1,
     figure<&CellSummary::verified_share>},
    {{"time_lost_ratio", "ratio", "Share of the time that disturbances took."}, 1, figure<&CellSummary::time_lost>},
    {{"load_seconds", "seconds", "Time to read and pack the weights."}, kNsPerSecond, figure<&CellSummary::load_ns>},
};

/// The samples of one metric, by labels and time as OpenMetrics wants them, each of them once.
class MetricText {
 public:
  explicit MetricText(const MetricName& metric) : metric_(metric) {}

  using Time = std::optional<std::int64_t>;  ///< seconds since 1970
  void add(const std::string& labels, const std::optional<double>& value, Time at = std::nullopt) {
    if (value && std::isfinite(*value)) samples_[{labels, at}] = *value;
  }
  void add(const std::string& labels, const Figure& figure, const std::optional<double>& value,
           Time at = std::nullopt) {
    if (value) add(labels, *value / figure.divisor, at);
  }
  /// One sample for each value of an enum, as a StateSet has them.
  template <NamedEnum E>
  void add_states(const std::string& labels, std::string_view label, E state, Time at = std::nullopt) {
    for (const std::string_view name : names_of(E{})) {
      add(fmt::format("{},{}=\"{}\"", labels, label, name), name == to_string(state) ? 1 : 0, at);
    }
  }

  /// Empty without a sample.
  [[nodiscard]] std::string text() const {
    if (samples_.empty()) return {};
    const std::string name = fmt::format("secondsource_{}", metric_.name);
    std::string lines = fmt::format("# TYPE {} gauge\n", name);
    if (!metric_.unit.empty()) lines += fmt::format("# UNIT {} {}\n", name, metric_.unit);
    lines += fmt::format("# HELP {} {}\n", name, metric_.help);
    for (const auto& [place, value] : samples_) {
      const auto& [labels, at] = place;
      lines += fmt::format("{}{{{}}} {}{}\n", name, labels, value, at ? fmt::format(" {}", *at) : "");
    }
    return lines;
  }

 private:
  MetricName metric_;
  std::map<std::pair<std::string, Time>, double> samples_;
};

/// One text for each of kFigures.
std::vector<MetricText> figure_texts() {
  std::vector<MetricText> texts;
  for (const Figure& figure : kFigures) texts.emplace_back(figure.metric);
  return texts;
}

/// Names come from bundles and devices: they are made printable and cut before they are escaped.
std::string labels_of(std::initializer_list<std::pair<std::string_view, std::string_view>> labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    text += fmt::format("{}{}=\"", text.empty() ? "" : ",", name);
    for (const char c : shown(value)) {
      if (c == '\\' || c == '"') text += '\\';
      text += c;
    }
    text += '"';
  }
  return text;
}

struct LabelledCell {
  const SummarizedRun* run = nullptr;
  const CellSummary* cell = nullptr;
};

/// By labels, each cell of the newest run that has it.
std::map<std::string, LabelledCell> newest_cells(std::span<const SummarizedRun> runs) {
  std::map<std::string, LabelledCell> cells;
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      const std::string labels = labels_of({{"machine", machine_of(run.record)},
                                            {"device", device_of(run, cell.key.backend)},
                                            {"bundle", cell.key.bundle},
                                            {"backend", cell.key.backend},
                                            {"variant", cell.key.variant},
                                            {"scenario", cell.key.scenario},
                                            {"tier", to_string(cell.tier)}});
      LabelledCell& known = cells[labels];
      if (known.run == nullptr || known.run->record.started_utc <= run.record.started_utc) known = {&run, &cell};
    }
  }
  return cells;
}

template <typename... Texts>
std::string joined(const std::vector<MetricText>& figures, const Texts&... first) {
  std::string out = (first.text() + ...);
  for (const MetricText& text : figures) out += text.text();
  return out + "# EOF\n";
}

}  // namespace

std::string write_openmetrics(std::span<const SummarizedRun> runs) {
  MetricText infos(kRun), backends(kBackend), measured(kMeasured), golden(kGolden), status(kStatus),
      outside_limits(kOutsideLimits), suspect(kSuspect), samples(kSamples), errors(kErrors);
  std::vector<MetricText> figures = figure_texts();
  for (const SummarizedRun& run : runs) {
    const RunRecord& record = run.record;
    const std::string machine = machine_of(record);
    std::string info = labels_of({{"machine", machine},
                                  {"run_id", record.run_id},
                                  {"program_version", record.program_version},
                                  {"commit", record.commit},
                                  {"suite", record.suite},
                                  {"method_version", fmt::to_string(record.method_version)}});
    if (!record.clients.empty()) info += "," + labels_of({{"clients", fmt::to_string(record.clients.size())}});
    infos.add(info, 1);
    for (const BackendRecord& backend : record.backends) {
      if (!backend.unavailable.empty()) continue;
      backends.add(labels_of({{"machine", machine}, {"device", backend.device.name}, {"backend", backend.name}}), 1);
    }
  }
  for (const auto& [labels, known] : newest_cells(runs)) {
    const CellSummary& cell = *known.cell;
    const auto began_s = seconds_since_1970(known.run->record.started_utc);
    if (began_s) measured.add(labels, static_cast<double>(*began_s));
    golden.add_states(labels, "verdict", cell.golden);
    status.add_states(labels, "status", cell.status);
    outside_limits.add(labels, cell.outside_limits.empty() ? 0 : 1);
    samples.add(labels, static_cast<double>(cell.n_samples));
    errors.add(labels, static_cast<double>(cell.n_errors));
    if (!has_credit(cell)) continue;
    suspect.add(labels, disturbance_mark(cell).empty() ? 0 : 1);
    for (std::size_t i = 0; i < figures.size(); ++i) {
      figures[i].add(labels, kFigures[i], kFigures[i].value(cell));
    }
  }
  return joined(figures, infos, backends, measured, golden, status, outside_limits, suspect, samples, errors);
}

std::string write_openmetrics(std::span<const HistoryCell> cells, std::set<std::string>& left_out) {
  MetricText golden(kGolden), status(kStatus), outside_limits(kOutsideLimits);
  std::vector<MetricText> figures = figure_texts();
  for (const HistoryCell& cell : cells) {
    const std::optional<std::int64_t> at = seconds_since_1970(cell.started_utc);
    if (!at) {
      left_out.insert(cell.run_id);
      continue;
    }
    const std::string labels = labels_of({{"branch", cell.branch},
                                          {"machine", cell.machine},
                                          {"bundle", cell.bundle},
                                          {"backend", cell.backend},
                                          {"variant", cell.variant},
                                          {"scenario", cell.scenario},
                                          {"tier", to_string(cell.tier)}});
    golden.add_states(labels, "verdict", cell.golden, at);
    status.add_states(labels, "status", cell.status, at);
    outside_limits.add(labels, cell.outside_limits.empty() ? 0 : 1, at);
    for (std::size_t i = 0; i < figures.size(); ++i) {
      if (kFigures[i].exported != nullptr) figures[i].add(labels, kFigures[i], cell.*kFigures[i].exported, at);
    }
  }
  return joined(figures, golden, status, outside_limits);
}

}  // namespace secondsource
