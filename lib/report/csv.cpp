#include "report/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "core/csv.h"
#include "core/enum_names.h"
#include "report/detail_tables.h"
#include "report/disturbances.h"
#include "report/tables.h"

namespace secondsource {
namespace {

template <typename T>
std::string number(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : std::string();
}

struct CsvColumn {
  const char* name;
  std::string (*text)(const SummarizedRun&, const CellSummary&);
};

template <auto Member>
std::string value_of(const SummarizedRun&, const CellSummary& cell) {
  if constexpr (std::is_same_v<decltype(cell.*Member), const Estimate&>) {
    return number((cell.*Member).value);
  } else {
    return number(cell.*Member);
  }
}

/// A figure of the scenario `swap`.
template <auto Member>
std::string swap_value_of(const SummarizedRun&, const CellSummary& cell) {
  if (!cell.swap) return "";
  if constexpr (std::is_same_v<decltype((*cell.swap).*Member), const Estimate&>) {
    return number(((*cell.swap).*Member).value);
  } else if constexpr (std::is_same_v<decltype((*cell.swap).*Member), const std::optional<double>&>) {
    return number((*cell.swap).*Member);
  } else if constexpr (std::is_same_v<decltype((*cell.swap).*Member), const std::optional<std::int64_t>&>) {
    return (*cell.swap).*Member ? fmt::format("{}", *((*cell.swap).*Member)) : "";
  } else {
    return fmt::format("{}", (*cell.swap).*Member);
  }
}

template <auto Member>
std::string share_of(const SummarizedRun&, const CellSummary& cell) {
  return cell.*Member ? fmt::format("{}", (cell.*Member)->share) : std::string();
}
template <auto Member>
std::string limit_of(const SummarizedRun&, const CellSummary& cell) {
  return cell.*Member ? std::string(to_string((cell.*Member)->limit)) : std::string();
}

const std::vector<CsvColumn>& identity_columns() {
  static const std::vector<CsvColumn> kColumns = {
      {"run_id", [](const SummarizedRun& run, const CellSummary&) { return run.summary.run_id; }},
      {"bundle", [](const SummarizedRun&, const CellSummary& c) { return c.key.bundle; }},
      {"backend", [](const SummarizedRun&, const CellSummary& c) { return c.key.backend; }},
      {"variant", [](const SummarizedRun&, const CellSummary& c) { return c.key.variant; }},
      {"scenario", [](const SummarizedRun&, const CellSummary& c) { return c.key.scenario; }},
      {"golden", [](const SummarizedRun&, const CellSummary& c) { return std::string(to_string(c.golden)); }},
      {"golden_level",
       [](const SummarizedRun&, const CellSummary& c) {
         return c.golden_level ? std::string(to_string(*c.golden_level)) : std::string();
       }},
      {"status", [](const SummarizedRun&, const CellSummary& c) { return std::string(to_string(c.status)); }},
      {"repetitions", [](const SummarizedRun&, const CellSummary& c) { return fmt::to_string(c.n_repetitions); }},
      {"samples", [](const SummarizedRun&, const CellSummary& c) { return fmt::to_string(c.n_samples); }},
      {"errors", [](const SummarizedRun&, const CellSummary& c) { return fmt::to_string(c.n_errors); }},
  };
  return kColumns;
}

/// These columns are empty for cells without credit.
const std::vector<CsvColumn>& figure_columns() {
  static const std::vector<CsvColumn> kColumns = {
      {"mean_prompt_tokens", value_of<&CellSummary::mean_prompt_tokens>},
      {"mean_output_tokens", value_of<&CellSummary::mean_output_tokens>},
      {"ttft_e2e_p50_ns", value_of<&CellSummary::ttft_e2e_p50_ns>},
      {"ttft_e2e_p50_low_ns", [](const SummarizedRun&, const CellSummary& c) { return number(c.ttft_e2e_p50_ns.low); }},
      {"ttft_e2e_p50_high_ns",
       [](const SummarizedRun&, const CellSummary& c) { return number(c.ttft_e2e_p50_ns.high); }},
      {"ttft_e2e_p95_ns", value_of<&CellSummary::ttft_e2e_p95_ns>},
      {"ttft_e2e_p99_ns", value_of<&CellSummary::ttft_e2e_p99_ns>},
      {"ttft_sent_p50_ns", value_of<&CellSummary::ttft_sent_p50_ns>},
      {"ttft_visible_p50_ns", value_of<&CellSummary::ttft_visible_p50_ns>},
      {"ttft_kernel_p50_ns", value_of<&CellSummary::ttft_kernel_p50_ns>},
      {"e2e_p50_ns", value_of<&CellSummary::e2e_p50_ns>},
      {"e2e_p99_ns", value_of<&CellSummary::e2e_p99_ns>},
      {"tpot_p50_ns", value_of<&CellSummary::tpot_p50_ns>},
      {"tpot_p99_ns", value_of<&CellSummary::tpot_p99_ns>},
      {"itl_p50_ns", value_of<&CellSummary::itl_p50_ns>},
      {"itl_p99_ns", value_of<&CellSummary::itl_p99_ns>},
      {"output_tok_per_s", value_of<&CellSummary::output_tok_per_s>},
      {"output_tok_per_s_low",
       [](const SummarizedRun&, const CellSummary& c) { return number(c.output_tok_per_s.low); }},
      {"output_tok_per_s_high",
       [](const SummarizedRun&, const CellSummary& c) { return number(c.output_tok_per_s.high); }},
      {"throughput_basis",
       [](const SummarizedRun&, const CellSummary& c) { return std::string(to_string(basis_of(c.scenario))); }},
      {"decode_tok_per_s", value_of<&CellSummary::decode_tok_per_s>},
      {"prefill_tok_per_s", value_of<&CellSummary::prefill_tok_per_s>},
      {"tok_per_s_per_user", value_of<&CellSummary::tok_per_s_per_user>},
      {"tok_per_s_per_device", value_of<&CellSummary::tok_per_s_per_device>},
      {"rate_per_s", value_of<&CellSummary::rate_per_s>},
      {"achieved_rate_per_s", value_of<&CellSummary::achieved_rate_per_s>},
      {"slo_attainment", value_of<&CellSummary::slo_attainment>},
      {"goodput_req_per_s", value_of<&CellSummary::goodput_req_per_s>},
      {"goodput_tok_per_s", value_of<&CellSummary::goodput_tok_per_s>},
      {"prefix_hit_rate", value_of<&CellSummary::prefix_hit_rate>},
      {"bound", [](const SummarizedRun&, const CellSummary& c) { return std::string(to_string(c.bound)); }},
      {"read_fraction", value_of<&CellSummary::read_fraction>},
      {"flops_fraction", value_of<&CellSummary::flops_fraction>},
      {"prefill_of_limit", share_of<&CellSummary::prefill_of_limit>},
      {"prefill_limit", limit_of<&CellSummary::prefill_of_limit>},
      {"first_token_of_limit", share_of<&CellSummary::first_token_of_limit>},
      {"first_token_limit", limit_of<&CellSummary::first_token_of_limit>},
      {"decode_of_limit", share_of<&CellSummary::decode_of_limit>},
      {"decode_limit", limit_of<&CellSummary::decode_of_limit>},
      {"device_utilisation", value_of<&CellSummary::device_utilisation>},
      {"load_ns", value_of<&CellSummary::load_ns>},
      {"compile_ns", value_of<&CellSummary::compile_ns>},
      {"first_to_settled", value_of<&CellSummary::first_to_settled>},
      {"verified_share", value_of<&CellSummary::verified_share>},
      {"weights_bytes", [](const SummarizedRun&,
                           const CellSummary& c) { return c.memory ? fmt::to_string(c.memory->weights_bytes) : ""; }},
      {"huge_weights_bytes",
       [](const SummarizedRun&, const CellSummary& c) {
         return c.memory && c.memory->huge_weights_bytes ? fmt::to_string(*c.memory->huge_weights_bytes) : "";
       }},
      {"kv_bytes",
       [](const SummarizedRun&, const CellSummary& c) { return c.memory ? fmt::to_string(c.memory->kv_bytes) : ""; }},
      {"workspace_bytes",
       [](const SummarizedRun&, const CellSummary& c) {
         return c.memory ? fmt::to_string(c.memory->workspace_bytes) : "";
       }},
      {"peak_bytes",
       [](const SummarizedRun&, const CellSummary& c) { return c.memory ? fmt::to_string(c.memory->peak_bytes) : ""; }},
      {"peak_rss_bytes", value_of<&CellSummary::peak_rss_bytes>},
      {"usd_per_1k_output", value_of<&CellSummary::usd_per_1k_output>},
      {"usd_per_1k_total", value_of<&CellSummary::usd_per_1k_total>},
      {"device_hours_per_million", value_of<&CellSummary::device_hours_per_million>},
      {"others_cpu_share", value_of<&CellSummary::others_cpu_share>},
      {"machine_read_bytes_per_s", value_of<&CellSummary::machine_read_bytes_per_s>},
      {"machine_f32_flops", value_of<&CellSummary::machine_f32_flops>},
      {"ttft_queue_p50_ns", value_of<&CellSummary::ttft_queue_p50_ns>},
      {"ttft_tokenize_p50_ns", value_of<&CellSummary::ttft_tokenize_p50_ns>},
      {"ttft_transfer_p50_ns", value_of<&CellSummary::ttft_transfer_p50_ns>},
      {"ttft_prefill_p50_ns", value_of<&CellSummary::ttft_prefill_p50_ns>},
      {"ttft_sample_p50_ns", value_of<&CellSummary::ttft_sample_p50_ns>},
      {"busy_vcpus", value_of<&CellSummary::busy_vcpus>},
  };
  return kColumns;
}

/// Figures that were added after the first release; they follow all other columns, so that those keep their positions.
const std::vector<CsvColumn>& later_figure_columns() {
  static const std::vector<CsvColumn> kColumns = {
      {"tpot_mean_ns", value_of<&CellSummary::tpot_mean_ns>},
      {"tpot_p90_ns", value_of<&CellSummary::tpot_p90_ns>},
      {"tpot_p95_ns", value_of<&CellSummary::tpot_p95_ns>},
      {"itl_mean_ns", value_of<&CellSummary::itl_mean_ns>},
      {"itl_p90_ns", value_of<&CellSummary::itl_p90_ns>},
      {"itl_p95_ns", value_of<&CellSummary::itl_p95_ns>},
      {"swap_budget_bytes", swap_value_of<&SwapSummary::memory_budget_bytes>},
      {"swap_loads", swap_value_of<&SwapSummary::loads>},
      {"swap_evictions", swap_value_of<&SwapSummary::evictions>},
      {"swap_peak_resident_bytes", swap_value_of<&SwapSummary::peak_resident_bytes>},
      {"swap_mean_resident_bytes", swap_value_of<&SwapSummary::mean_resident_bytes>},
      {"swap_mean_resident_models", swap_value_of<&SwapSummary::mean_resident_models>},
      {"swap_unswapped_tok_per_s", swap_value_of<&SwapSummary::unswapped_tok_per_s>},
      {"swap_lost_tok_per_s", swap_value_of<&SwapSummary::lost_tok_per_s>},
      {"swap_lost_share", swap_value_of<&SwapSummary::lost_share>},
      {"swap_load_time_share", swap_value_of<&SwapSummary::load_time_share>},
      {"swap_budget_models", swap_value_of<&SwapSummary::budget_models>},
      {"late_send_share", value_of<&CellSummary::late_send_share>},
      {"latest_send_ns", value_of<&CellSummary::latest_send_ns>},
      {"n_cancelled", value_of<&CellSummary::n_cancelled>},
      {"freed_tok_per_s", value_of<&CellSummary::freed_tok_per_s>},
      {"unwanted_tokens", value_of<&CellSummary::unwanted_tokens>},
      {"first_turn_ttft_p50_ns",
       [](const SummarizedRun&, const CellSummary& c) {
         return c.conversation ? number(c.conversation->first_turn_ttft_p50_ns.value) : "";
       }},
      {"later_turns_ttft_p50_ns",
       [](const SummarizedRun&, const CellSummary& c) {
         return c.conversation ? number(c.conversation->later_turns_ttft_p50_ns.value) : "";
       }},
      {"later_turns_cached_share",
       [](const SummarizedRun&, const CellSummary& c) {
         return c.conversation ? number(c.conversation->later_turns_cached_share) : "";
       }},
  };
  return kColumns;
}

/// Columns that say how far the figures can be trusted; they follow the figures.
const std::vector<CsvColumn>& context_columns() {
  static const std::vector<CsvColumn> kColumns = {
      {"tier", [](const SummarizedRun&, const CellSummary& c) { return std::string(to_string(c.tier)); }},
      {"outside_limits", [](const SummarizedRun&, const CellSummary& c) { return c.outside_limits; }},
      {"device", [](const SummarizedRun& run, const CellSummary& c) { return device_of(run, c.key.backend); }},
      {"figures_from",
       [](const SummarizedRun& run, const CellSummary&) { return std::string(source_of_figures(run)); }},
  };
  return kColumns;
}

/// Why a row has no figures, or only some; empty if it has all.
std::string why_without_figures(const CellSummary& cell) {
  if (cell.golden == GoldenVerdict::kFailed) return "wrong tokens";
  return cell.status == CellStatus::kComplete ? "" : why_incomplete(cell);
}

/// Context columns that were added later; they follow the figures that were added later.
const std::vector<CsvColumn>& later_context_columns() {
  static const std::vector<CsvColumn> kColumns = {
      {"clients",
       [](const SummarizedRun& run, const CellSummary&) {
         return fmt::to_string(std::max<std::size_t>(1, run.record.clients.size()));
       }},
      {"disturbance", [](const SummarizedRun&, const CellSummary& c) { return disturbance_mark(c); }},
      {"reason", [](const SummarizedRun&, const CellSummary& c) { return why_without_figures(c); }},
  };
  return kColumns;
}

/// Context columns that come last, and only if any run has such a value.
const std::vector<CsvColumn>& source_columns() {
  static const std::vector<CsvColumn> kColumns = {
      {"source_quantization", [](const SummarizedRun&, const CellSummary& c) { return c.source_quantization; }},
  };
  return kColumns;
}

std::string field_text(const std::string& text) {
  return csv_text(text);
}
std::string field_text(bool value) {
  return value ? "true" : "false";
}
std::string field_text(const std::optional<double>& value) {
  return number(value);
}
template <NamedEnum E>
std::string field_text(E value) {
  return csv_text(to_string(value));
}

}  // namespace

std::string write_csv(std::span<const SummarizedRun> runs) {
  std::string out;
  const std::vector<std::string> sensors = sensors_of(runs);
  const bool names_sources = any_quantized_at_source(runs);
  const auto append_line = [&](const auto& text_of, const auto& text_of_sensor) {
    bool first = true;
    for (const auto* columns : {&identity_columns(), &figure_columns(), &context_columns(), &later_figure_columns(),
                                &later_context_columns(), &source_columns()}) {
      if (columns == &source_columns() && !names_sources) continue;
      const bool are_figures = columns == &figure_columns() || columns == &later_figure_columns();
      for (const CsvColumn& column : *columns) {
        if (!first) out += ",";
        const std::string text = text_of(column, are_figures);
        out += are_figures ? text : csv_text(text);
        first = false;
      }
    }
    for (const std::string& sensor : sensors) out += "," + text_of_sensor(sensor);
    out += "\r\n";
  };
  append_line([](const CsvColumn& column, bool) { return std::string(column.name); },
              [](const std::string& sensor) { return csv_text(sensor); });
  for (const SummarizedRun& run : runs) {
    for (const CellSummary& cell : run.summary.cells) {
      append_line(
          [&](const CsvColumn& column, bool is_figure) {
            return is_figure && !has_credit(cell) ? std::string() : column.text(run, cell);
          },
          [&](const std::string& sensor) {
            const auto reading = std::ranges::find(cell.telemetry, sensor, &TelemetryReading::name);
            const bool is_known = has_credit(cell) && reading != cell.telemetry.end();
            return is_known ? number(reading->value) : std::string();
          });
    }
  }
  return out;
}

std::string write_csv(std::span<const HistoryCell> cells) {
  std::string out;
  const auto append_line = [&](const HistoryCell& cell, const auto& text_of) {
    const char* separator = "";
    visit_fields(
        [&](const char* name, const auto& field) {
          out += separator + text_of(name, field);
          separator = ",";
        },
        cell);
    out += "\r\n";
  };
  append_line({}, [](const char* name, const auto&) { return std::string(name); });
  for (const HistoryCell& cell : cells) {
    append_line(cell, [](const char*, const auto& field) { return field_text(field); });
  }
  return out;
}

}  // namespace secondsource
