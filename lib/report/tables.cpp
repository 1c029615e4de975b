#include "report/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "core/enum_format.h"
#include "core/units.h"
#include "report/cell_text.h"
#include "report/clock_tables.h"
#include "report/disturbances.h"
#include "report/price_text.h"

namespace secondsource {
namespace {

std::string memory(const CellSummary& cell) {
  if (cell.memory) return format_bytes(cell.memory->peak_bytes);
  return kUnknown;
}

/// The golden verdict, and the status of the cell if it has no valid result.
std::string golden_text(const CellSummary& cell) {
  const bool plain = cell.status == CellStatus::kComplete || cell.status == CellStatus::kPartial;
  std::string text = tokens_text(cell);
  if (cell.status == CellStatus::kInvalid) return text + ", INVALID";
  if (const std::string mark = disturbance_mark(cell); !mark.empty()) text += ", " + mark;
  return plain ? text : fmt::format("{}, {}", text, cell.status);
}

/// Returns "7 of 8 (reference 8)"; kUnknown if the pass had no prompt with an answer.
std::string answers_text(const GoldenRecord& golden) {
  if (!golden.n_answers) return kUnknown;
  return fmt::format("{} of {} (reference {})", golden.n_answers_right.value_or(0), *golden.n_answers,
                     golden.n_reference_answers_right.value_or(0));
}

std::string count_text(const std::optional<std::int32_t>& count) {
  return count ? fmt::to_string(*count) : kUnknown;
}

/// Returns "7 of 8"; kUnknown if determinism was not measured.
std::string same_text(const GoldenRecord& golden, const std::optional<std::int32_t>& count) {
  if (!golden.n_repeated || !count) return kUnknown;
  return fmt::format("{} of {}", *count, *golden.n_repeated);
}

std::string seconds(const std::optional<double>& value) {
  if (!value) return kUnknown;
  return format_duration_ns(static_cast<std::int64_t>(*value * 1e9));
}

}  // namespace

TextTable results_table(std::span<const SummarizedRun> runs) {
  TextTable table;
  const bool several = runs.size() > 1;
  table.columns = {"bundle",      "backend",      "variant",     "scenario", "golden", "TTFT p50 ms",
                   "TTFT p95 ms", "output tok/s", "peak memory", "$/1M",     "$/1K"};
  table.right_aligned = {false, false, false, false, false, true, true, true, true, true, true};
  table.verdict_column = 4;
  if (several) {
    table.columns.insert(table.columns.begin(), "run");
    table.right_aligned.insert(table.right_aligned.begin(), false);
    table.verdict_column = 5;
  }
  const bool names_devices = devices_differ(runs);
  if (names_devices) {
    table.columns.emplace_back("device");
    table.right_aligned.push_back(false);
  }
  const bool names_features = features_differ(runs);
  if (names_features) {
    table.columns.emplace_back("settings");
    table.right_aligned.push_back(false);
  }
  const bool names_sources = any_quantized_at_source(runs);
  if (names_sources) {
    table.columns.emplace_back("quantized at source");
    table.right_aligned.push_back(false);
  }
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      const bool credit = has_credit(cell);
      const auto figure = [&](std::string text) { return credit ? std::move(text) : std::string(kUnknown); };
      std::vector<std::string> row = {cell.key.bundle,
                                      cell.key.backend,
                                      cell.key.variant,
                                      cell.key.scenario,
                                      golden_text(cell),
                                      figure(milliseconds_text(cell.ttft_e2e_p50_ns)),
                                      figure(milliseconds_text(cell.ttft_e2e_p95_ns)),
                                      figure(output_rate_text(cell)),
                                      figure(memory(cell)),
                                      figure(dollars_per_million_text(cell.usd_per_1k_output)),
                                      figure(dollars_text(cell.usd_per_1k_output))};
      if (several) row.insert(row.begin(), run.summary.run_id.substr(0, 8));
      if (names_devices) row.push_back(device_of(run, cell.key.backend));
      if (names_features) row.push_back(features_of(run, cell.key.backend));
      if (names_sources) row.push_back(cell.source_quantization.empty() ? kUnknown : cell.source_quantization);
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

TextTable golden_table(std::span<const SummarizedRun> runs) {
  TextTable table;
  table.columns = {"bundle",  "backend", "variant",  "suite", "verdict",       "prompts",
                   "skipped", "match",   "near tie", "wrong", "answers right", "streamed"};
  table.verdict_column = 4;
  table.right_aligned = {false, false, false, false, false, true, true, true, true, true, true, true};
  const bool any_level = std::ranges::any_of(runs, [](const SummarizedRun& run) {
    return std::ranges::any_of(run.summary.golden, [](const GoldenRecord& golden) { return golden.level.has_value(); });
  });
  if (any_level) {
    table.columns.insert(table.columns.end(), {"judged by", "same twice", "same in a batch"});
    table.right_aligned.insert(table.right_aligned.end(), {false, true, true});
  }
  const bool several = runs.size() > 1;
  if (several) {
    table.columns.insert(table.columns.begin(), "run");
    table.right_aligned.insert(table.right_aligned.begin(), false);
    table.verdict_column = 5;
  }
  for (const SummarizedRun& run : runs) {
    for (const GoldenRecord& golden : run.summary.golden) {
      table.rows.push_back({golden.bundle, golden.backend, golden.variant, golden.suite,
                            std::string(to_string(golden.verdict)), fmt::to_string(golden.n_prompts),
                            fmt::to_string(golden.n_skipped), fmt::to_string(golden.n_match),
                            fmt::to_string(golden.n_near_tie), fmt::to_string(golden.n_wrong), answers_text(golden),
                            count_text(golden.n_streamed)});
      if (any_level) {
        table.rows.back().insert(table.rows.back().end(),
                                 {golden.level ? std::string(to_string(*golden.level)) : "logits",
                                  same_text(golden, golden.n_same_twice), same_text(golden, golden.n_same_in_batch)});
      }
      if (several) table.rows.back().insert(table.rows.back().begin(), run.summary.run_id.substr(0, 8));
    }
  }
  return table;
}

TextTable gate_table(const GateReport& gate) {
  TextTable table;
  table.columns = {"cell", "metric", "base", "candidate", "change", "95 % interval", "verdict"};
  table.verdict_column = 6;
  table.right_aligned = {false, false, true, true, true, true, false};
  for (const GateVerdict& verdict : gate.verdicts) {
    std::string word(to_string(verdict.decision));
    if (verdict.decision == Decision::kRegressed && verdict.decides) word = "REGRESSED";
    if (!verdict.decides) word += ", opportunistic";
    if (!verdict.waived_by.empty()) word += fmt::format(", waived by {}", verdict.waived_by);
    if (verdict.improved) word += ", improved";
    const bool known = verdict.change_percent.has_value();
    const bool has_interval = verdict.low_percent && verdict.high_percent;
    table.rows.push_back({verdict.cell.id(), verdict.metric, seconds(verdict.base_s), seconds(verdict.candidate_s),
                          known ? fmt::format("{:+.1f} %", *verdict.change_percent) : kUnknown,
                          has_interval ? fmt::format("{:+.1f} to {:+.1f} %", verdict.low(), verdict.high()) : kUnknown,
                          word});
  }
  return table;
}

std::string gate_headline(const GateReport& gate) {
  if (!gate.cannot_decide.empty() && gate.verdicts.empty()) return "cannot decide here: nothing was timed";
  std::string text = fmt::format("{} regressed, {} inconclusive, {} pass, {} waived", gate.count(Decision::kRegressed),
                                 gate.count(Decision::kInconclusive), gate.count(Decision::kPass), gate.count_waived());
  const auto n_opportunistic = std::ranges::count(gate.verdicts, false, &GateVerdict::decides);
  if (n_opportunistic > 0) text += fmt::format(", {} opportunistic", n_opportunistic);
  return text;
}

std::string device_of(const SummarizedRun& run, std::string_view backend) {
  const auto found = std::ranges::find(run.record.backends, backend, &BackendRecord::name);
  const bool is_known = found != run.record.backends.end() && !found->device.name.empty();
  return is_known ? found->device.name : kUnknown;
}

std::string features_of(const SummarizedRun& run, std::string_view backend) {
  const auto found = std::ranges::find(run.record.backends, backend, &BackendRecord::name);
  if (found == run.record.backends.end() || !found->served || !found->served->features) return kUnknown;
  const ServedFeatures& features = *found->served->features;
  const auto value_of = [](const FeatureSetting& setting) {
    return setting.source == SettingSource::kUnknown ? std::string("unknown") : setting.value;
  };
  return fmt::format("speculative {}, prefix cache {}, KV cache {}", value_of(features.speculative),
                     value_of(features.prefix_cache), value_of(features.kv_cache));
}

bool features_differ(std::span<const SummarizedRun> runs) {
  std::string first;
  for (const SummarizedRun& run : runs) {
    for (const BackendRecord& backend : run.record.backends) {
      if (!backend.served || !backend.unavailable.empty()) continue;
      const std::string features = features_of(run, backend.name);
      if (first.empty()) first = features;
      if (features != first) return true;
    }
  }
  return false;
}

bool devices_differ(std::span<const SummarizedRun> runs) {
  std::map<std::string_view, std::string_view> device_of_backend;
  for (const SummarizedRun& run : runs) {
    for (const BackendRecord& backend : run.record.backends) {
      if (backend.device.name.empty()) continue;  // unavailable there
      const auto [known, is_new] = device_of_backend.emplace(backend.name, backend.device.name);
      if (!is_new && known->second != backend.device.name) return true;
    }
  }
  return false;
}

bool any_quantized_at_source(std::span<const SummarizedRun> runs) {
  return std::ranges::any_of(runs, [](const SummarizedRun& run) {
    return std::ranges::any_of(run.summary.cells,
                               [](const CellSummary& cell) { return !cell.source_quantization.empty(); });
  });
}

std::string_view source_of_figures(const SummarizedRun& run) {
  return run.has_samples ? "samples.jsonl" : "summary.json";
}

std::string run_line(const RunRecord& record) {
  return fmt::format("run {} of {}, secondsource {} ({}), suite {}, seed {}", record.run_id, record.started_utc,
                     record.program_version, record.commit, record.suite, record.seed);
}

std::string host_line(const std::vector<HostFact>& host) {
  const std::pair<const char*, const char*> shown_facts[] = {
      {"cpu_model", "CPU model"}, {"cpus_usable", "usable CPUs"}, {"kernel", "kernel"}};
  std::string line = "host:";
  for (const HostFact& fact : host) {
    for (const auto& [name, title] : shown_facts) {
      if (fact.value && fact.name == name) line += fmt::format(" {} {};", title, *fact.value);
    }
  }
  line.pop_back();
  return line;
}

std::vector<std::string> run_header(const SummarizedRun& run) {
  const RunRecord& record = run.record;
  std::vector<std::string> lines;
  lines.push_back(run_line(record));
  lines.push_back(host_line(record.host));
  for (const BackendRecord& backend : record.backends) {
    if (!backend.unavailable.empty()) continue;
    lines.push_back(fmt::format("{}: {}{}", backend.name, backend.device.name,
                                backend.is_foreign() ? "; " + identity_text(backend) : ""));
  }
  for (const std::string& line : client_lines(record)) lines.push_back(line);
  for (const std::string& line : clock_lines(run)) lines.push_back(line);
  const auto cost = [&](const char* name) { return fact(record.host, name).value_or("?"); };
  if (fact(record.host, "harness_ns_per_request")) {
    lines.push_back(fmt::format("cost of measuring (null system): {} ns a request, {} ns a step, {} ns a token",
                                cost("harness_ns_per_request"), cost("harness_ns_per_poll"),
                                cost("harness_ns_per_token")));
  }
  for (const auto& [name, text] : price_lines(record)) lines.push_back(fmt::format("{}: {}", name, text));
  return lines;
}

}  // namespace secondsource
