#include "report/detail_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

#include "core/beside_limit.h"
#include "core/enum_format.h"
#include "core/units.h"
#include "record/roofline.h"
#include "report/cell_text.h"
#include "report/tables.h"

namespace secondsource {
namespace {

constexpr std::string_view kMainSensors[] = {"host_power_w",
                                             "host_frequency_hz",
                                             "device_power_w",
                                             "device_utilisation",
                                             "device_temperature_c",
                                             "device_memory_used_bytes",
                                             "server_requests_running",
                                             "server_requests_waiting_max",
                                             "server_kv_cache_utilisation_max",
                                             "server_preemptions_count",
                                             "server_prefix_hit_share",
                                             "server_cpus_busy",
                                             "server_rss_bytes_max",
                                             "server_draft_accepted_share"};

/// "device_power_w" -> "device power", "host_frequency_hz_max" -> "host frequency, most": units are shown beside the
/// values. For a device, "_max" marks the state of a counter and not the largest of several values, so "most" is left
/// out.
std::string sensor_heading(std::string_view name) {
  constexpr std::string_view kMost = "_max";
  const bool is_most = name.ends_with(kMost);
  if (is_most) name.remove_suffix(kMost.size());
  for (const std::string_view unit : {"_w", "_hz", "_c", "_bytes", "_j", "_count", "_share"}) {
    if (!name.ends_with(unit)) continue;
    name.remove_suffix(unit.size());
    break;
  }
  std::string heading(name);
  std::replace(heading.begin(), heading.end(), '_', ' ');
  return heading + (is_most && !heading.starts_with("device") ? ", most" : "");
}

struct Column {
  std::string name;
  std::function<std::string(const CellSummary&)> text;
};

Column milliseconds(const char* name, Estimate CellSummary::*estimate) {
  return {name, [estimate](const CellSummary& cell) { return milliseconds_text(cell.*estimate); }};
}
/// For parts of a time, which may be thousands of times shorter than the others.
Column any_duration(const char* name, Estimate CellSummary::*estimate) {
  return {name, [estimate](const CellSummary& cell) { return duration_text(cell.*estimate); }};
}
Column percent(const char* name, std::optional<double> CellSummary::*share) {
  return {name, [share](const CellSummary& cell) { return percent_text(cell.*share); }};
}
Column of_limit(const char* name, std::optional<LimitShare> CellSummary::*share) {
  return {name, [share](const CellSummary& cell) { return limit_text(cell.*share); }};
}
Column duration(const char* name, std::optional<std::int64_t> CellSummary::*ns) {
  return {name, [ns](const CellSummary& cell) { return cell.*ns ? format_duration_ns(*(cell.*ns)) : kUnknown; }};
}

/// Builds a table of the cell's name and `columns`, with the cells for which `concerns` is true.
TextTable table_of(std::span<const SummarizedRun> runs, const std::vector<Column>& columns,
                   const std::function<bool(const CellSummary&)>& concerns) {
  TextTable table;
  table.columns = {"cell"};
  table.right_aligned = {false};
  for (const Column& column : columns) {
    table.columns.emplace_back(column.name);
    table.right_aligned.push_back(true);
  }
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      if (!has_credit(cell) || cell.n_repetitions == 0 || !concerns(cell)) continue;
      const std::string run_name = runs.size() > 1 ? run.summary.run_id.substr(0, 8) + " " : "";
      std::vector<std::string> row = {run_name + cell.key.id()};
      for (const Column& column : columns) row.push_back(column.text(cell));
      table.rows.push_back(std::move(row));
    }
  }
  return table;
}

bool any(const CellSummary&) {
  return true;
}

std::string plain(const std::optional<double>& value) {
  return value ? fmt::format("{:.4g}", *value) : kUnknown;
}

/// Shows the share of requests that kept the SLO with as many digits as it takes to differ from the share that must.
Column attainment(std::span<const SummarizedRun> runs) {
  return {"kept the SLO (bounds of 95 % each)", [runs](const CellSummary& cell) -> std::string {
            const Estimate& kept = cell.slo_attainment;
            if (!kept.value) return kUnknown;
            double limit = 0;
            for (const SummarizedRun& run : runs) {
              const auto is_here = [&](const CellSummary& one) { return &one == &cell; };
              if (run.record.slo && std::ranges::any_of(run.summary.cells, is_here)) limit = run.record.slo->percent;
            }
            const auto text = [&](double share) { return text_beside_limit(100 * share, limit, 1); };
            return fmt::format("{} % ({} to {})", text(*kept.value), text(kept.low.value_or(0)),
                               text(kept.high.value_or(1)));
          }};
}

std::string goodput_text(const CellSummary& cell) {
  return cell.goodput_req_per_s.value ? plain(*cell.goodput_req_per_s.value) : kUnknown;
}

}  // namespace

TextTable latency_table(std::span<const SummarizedRun> runs) {
  return table_of(runs,
                  {{"prompt tok", [](const CellSummary& cell) { return plain(cell.mean_prompt_tokens); }},
                   {"output tok", [](const CellSummary& cell) { return plain(cell.mean_output_tokens); }},
                   milliseconds("TTFT p50 ms", &CellSummary::ttft_e2e_p50_ns),
                   milliseconds("p95", &CellSummary::ttft_e2e_p95_ns),
                   milliseconds("p99", &CellSummary::ttft_e2e_p99_ns),
                   milliseconds("from sending, p50", &CellSummary::ttft_sent_p50_ns),
                   milliseconds("visible, p50", &CellSummary::ttft_visible_p50_ns),
                   milliseconds("kernel, p50", &CellSummary::ttft_kernel_p50_ns)},
                  any);
}

TextTable token_time_table(std::span<const SummarizedRun> runs) {
  return table_of(
      runs,
      {milliseconds("TPOT mean ms", &CellSummary::tpot_mean_ns), milliseconds("p50", &CellSummary::tpot_p50_ns),
       milliseconds("p90", &CellSummary::tpot_p90_ns), milliseconds("p95", &CellSummary::tpot_p95_ns),
       milliseconds("p99", &CellSummary::tpot_p99_ns), milliseconds("ITL mean ms", &CellSummary::itl_mean_ns),
       milliseconds("p50", &CellSummary::itl_p50_ns), milliseconds("p90", &CellSummary::itl_p90_ns),
       milliseconds("p95", &CellSummary::itl_p95_ns), milliseconds("p99", &CellSummary::itl_p99_ns)},
      [](const CellSummary& cell) {
        return cell.tpot_mean_ns.value || cell.tpot_p50_ns.value || cell.itl_p50_ns.value;
      });
}

TextTable ttft_parts_table(std::span<const SummarizedRun> runs) {
  return table_of(
      runs,
      {any_duration("TTFT p50", &CellSummary::ttft_e2e_p50_ns), any_duration("queue", &CellSummary::ttft_queue_p50_ns),
       any_duration("tokenize", &CellSummary::ttft_tokenize_p50_ns),
       any_duration("transfer", &CellSummary::ttft_transfer_p50_ns),
       any_duration("prefill", &CellSummary::ttft_prefill_p50_ns),
       any_duration("sample", &CellSummary::ttft_sample_p50_ns)},
      [](const CellSummary& cell) {
        return cell.ttft_queue_p50_ns.value || cell.ttft_tokenize_p50_ns.value || cell.ttft_transfer_p50_ns.value ||
               cell.ttft_prefill_p50_ns.value || cell.ttft_sample_p50_ns.value;
      });
}

std::vector<std::string> sensors_of(std::span<const SummarizedRun> runs) {
  constexpr std::size_t kMost = 64;
  std::vector<std::string> names;
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      for (const TelemetryReading& reading : cell.telemetry) {
        const std::string_view name = reading.name;
        const bool is_single_cpu = name.starts_with("cpu");
        const bool has_column = name == kMachineReadReading || name == kMachineF32Reading;
        if (is_single_cpu || has_column || std::ranges::find(names, reading.name) != names.end()) continue;
        names.push_back(reading.name);
        if (names.size() == kMost) return names;
      }
    }
  }
  return names;
}

TextTable machine_table(std::span<const SummarizedRun> runs, SensorChoice sensors) {
  std::vector<Column> columns = {{"vCPUs busy", [](const CellSummary& cell) {
                                    return cell.busy_vcpus ? fmt::format("{:.2f}", *cell.busy_vcpus) : kUnknown;
                                  }}};
  const auto has_value = [&](const std::string& name) {
    return std::ranges::any_of(runs, [&](const SummarizedRun& run) {
      return std::ranges::any_of(run.summary.cells, [&](const CellSummary& cell) {
        const auto reading = std::ranges::find(cell.telemetry, name, &TelemetryReading::name);
        return reading != cell.telemetry.end() && reading->value;
      });
    });
  };
  for (const std::string& name : sensors_of(runs)) {
    const bool is_main = std::ranges::find(kMainSensors, name) != std::end(kMainSensors);
    const bool is_chosen = is_main || (sensors == SensorChoice::kAll && name.starts_with("device_"));
    if (!is_chosen || !has_value(name)) continue;
    columns.push_back({sensor_heading(name), [name](const CellSummary& cell) {
                         const auto reading = std::ranges::find(cell.telemetry, name, &TelemetryReading::name);
                         return reading == cell.telemetry.end() ? kUnknown : reading_text(*reading);
                       }});
  }
  return table_of(runs, columns, [](const CellSummary& cell) { return cell.busy_vcpus || !cell.telemetry.empty(); });
}

std::vector<std::string> machine_lines(std::span<const SummarizedRun> runs) {
  std::vector<std::string> lines;
  std::set<std::string> known;
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      for (const TelemetryReading& reading : cell.telemetry) {
        if (reading.value || reading.why_not.empty()) continue;
        std::string line = fmt::format("{}: {}", sensor_heading(reading.name), reading.why_not);
        if (known.insert(line).second) lines.push_back(std::move(line));
      }
    }
  }
  return lines;
}

TextTable bound_table(std::span<const SummarizedRun> runs) {
  return table_of(runs,
                  {{"$/1M", [](const CellSummary& cell) { return dollars_per_million_text(cell.usd_per_1k_output); }},
                   {"$/1K", [](const CellSummary& cell) { return dollars_text(cell.usd_per_1k_output); }},
                   milliseconds("TTFT p99 ms", &CellSummary::ttft_e2e_p99_ns),
                   milliseconds("ITL p99 ms", &CellSummary::itl_p99_ns),
                   percent("device busy", &CellSummary::device_utilisation),
                   of_limit("prefill, of the limit", &CellSummary::prefill_of_limit),
                   of_limit("first token", &CellSummary::first_token_of_limit),
                   of_limit("decode", &CellSummary::decode_of_limit),
                   {"bound by",
                    [](const CellSummary& cell) {
                      return cell.bound == Bottleneck::kUnknown ? std::string(kUnknown)
                                                                : std::string(to_string(cell.bound));
                    }},
                   duration("load and pack", &CellSummary::load_ns),
                   duration("compile", &CellSummary::compile_ns),
                   {"first / settled",
                    [](const CellSummary& cell) {
                      return cell.first_to_settled ? fmt::format("{:.2f}", *cell.first_to_settled) : kUnknown;
                    }}},
                  any);
}

std::vector<std::string> bound_lines(std::span<const SummarizedRun> runs) {
  std::set<Bottleneck> bottlenecks;
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      if (has_credit(cell) && cell.bound != Bottleneck::kUnknown) bottlenecks.insert(cell.bound);
    }
  }
  std::vector<std::string> lines;
  for (const Bottleneck one : bottlenecks) lines.push_back(fmt::format("{}-bound: {}", one, consequence_of(one)));
  return lines;
}

namespace {

std::string latest_send_text(const CellSummary& cell) {
  return cell.latest_send_ns ? format_duration_ns(*cell.latest_send_ns) : kUnknown;
}

/// The recorded requests that were left out because they are longer than the model's context.
std::string too_long_text(const CellSummary& cell) {
  const Scenario& scenario = cell.scenario;
  if (scenario.arrivals != ArrivalKind::kTrace) return kUnknown;
  return fmt::format("{} of {}", scenario.n_too_long, scenario.n_requests + scenario.n_too_long);
}

std::optional<double> cached_share(const TurnSummary& turn) {
  if (!turn.mean_cached_tokens || !(turn.mean_prompt_tokens > 0.0)) return std::nullopt;
  return *turn.mean_cached_tokens / *turn.mean_prompt_tokens;
}

std::string cancelled_text(const CellSummary& cell) {
  return cell.n_cancelled ? fmt::format("{} of {}", *cell.n_cancelled, cell.n_samples) : kUnknown;
}

}  // namespace

TextTable load_table(std::span<const SummarizedRun> runs) {
  return table_of(runs,
                  {{"rate asked/s", [](const CellSummary& cell) { return plain(cell.rate_per_s); }},
                   {"sent/s", [](const CellSummary& cell) { return plain(cell.achieved_rate_per_s); }},
                   percent("sent late", &CellSummary::late_send_share),
                   {"latest", latest_send_text},
                   {"too long", too_long_text},
                   attainment(runs),
                   {"goodput req/s", goodput_text},
                   {"tok/s", [](const CellSummary& cell) { return plain(cell.goodput_tok_per_s); }},
                   percent("prefix hits", &CellSummary::prefix_hit_rate),
                   {"cancelled", cancelled_text},
                   {"freed tok/s", [](const CellSummary& cell) { return plain(cell.freed_tok_per_s); }},
                   {"unwanted tok", [](const CellSummary& cell) { return plain(cell.unwanted_tokens); }}},
                  [](const CellSummary& cell) {
                    return cell.rate_per_s || cell.slo_attainment.value || cell.scenario.n_shared_prefix > 0 ||
                           cell.n_cancelled || cell.conversation;
                  });
}

TextTable turn_table(std::span<const SummarizedRun> runs) {
  TextTable table;
  table.columns = {"cell", "turn", "requests", "prompt tok", "of them cached", "cached share", "TTFT p50 ms"};
  table.right_aligned = {false, true, true, true, true, true, true};
  for (const SummarizedRun& run : runs) {
    const std::string run_name = runs.size() > 1 ? run.summary.run_id.substr(0, 8) + " " : "";
    for (const CellSummary& cell : run.summary.cells) {
      if (!has_credit(cell) || !cell.conversation) continue;
      const ConversationSummary& conversation = *cell.conversation;
      std::int64_t n_later = 0;
      for (const TurnSummary& turn : conversation.turns) {
        if (turn.turn > 1) n_later += turn.n_requests;
        table.rows.push_back({run_name + cell.key.id(), fmt::format("{}", turn.turn),
                              fmt::format("{}", turn.n_requests), plain(turn.mean_prompt_tokens),
                              plain(turn.mean_cached_tokens), percent_text(cached_share(turn)),
                              milliseconds_text(turn.ttft_p50_ns)});
      }
      if (cell.scenario.turns == 2) continue;  // they would be the row above
      table.rows.push_back({run_name + cell.key.id(), fmt::format("2 to {}", cell.scenario.turns),
                            fmt::format("{}", n_later), "", "", percent_text(conversation.later_turns_cached_share),
                            milliseconds_text(conversation.later_turns_ttft_p50_ns)});
    }
  }
  return table;
}

}  // namespace secondsource
