#include "report/fit_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/counted.h"
#include "core/enum_format.h"
#include "core/units.h"
#include "report/cell_text.h"
#include "report/chart/bars.h"

namespace secondsource {
namespace {

std::string gib(double bytes) {
  return fmt::format("{:.1f}", bytes / kGibibyte);
}

std::string ceiling_text(const std::optional<Ceiling>& ceiling) {
  if (!ceiling) return kUnknown;
  return fmt::format("{:.{}f} ({})", ceiling->tokens_per_s, ceiling->tokens_per_s < 100 ? 1 : 0, ceiling->limit);
}

std::string billions(double n_parameters) {
  return n_parameters < 1e9 ? fmt::format("{:.1f} million", 1e-6 * n_parameters)
                            : fmt::format("{:.1f} billion", 1e-9 * n_parameters);
}

/// What is rented for a row's devices, and where its price is from: "2 x h100-sxm: 1 instance of 8, 18.32 USD an hour: ...".
std::string price_note(const FitRow& row, const FitPrice& price) {
  return fmt::format("{} x {}: {} of {}, {:.2f} USD an hour: {}, {}", row.n_devices, row.hardware,
                     counted(price.n_instances, "instance"), price.devices_per_instance, price.usd_per_hour, price.row,
                     price.date);
}

Chart memory_chart(const FitReport& report, const std::string& variant) {
  const std::vector<std::string> parts = {"weights", "workspace", "reserve", "cache of the sequences asked for"};
  std::vector<StackedBar> bars;
  for (const FitRow& row : report.rows) {
    if (row.variant != variant) continue;
    const double kv = static_cast<double>(report.n_sequences) * row.kv_bytes_per_sequence;
    const std::string label =
        row.n_devices > 0 ? fmt::format("{} x {}", row.n_devices, row.hardware) : row.hardware + ": does not fit";
    bars.push_back({.label = label,
                    .parts = {row.weights_bytes / kGibibyte, row.workspace_bytes / kGibibyte,
                              row.reserved_bytes / kGibibyte, kv / kGibibyte},
                    .total = row.memory_bytes / kGibibyte});
  }
  return stack_chart(fmt::format("Memory for {} in {}", report.model, variant), "GiB", parts, "memory of the devices",
                     bars);
}

std::vector<std::string> variants_of(const FitReport& report) {
  std::vector<std::string> variants;
  for (const FitRow& row : report.rows) {
    if (std::ranges::find(variants, row.variant) == variants.end()) variants.push_back(row.variant);
  }
  return variants;
}

TextTable source_table(const FitReport& report) {
  TextTable table;
  table.columns = {"source"};
  table.right_aligned = {false};
  for (const std::string& source : report.sources) table.rows.push_back({source});
  return table;
}

}  // namespace

TextTable fit_table(const FitReport& report) {
  const bool has_prices = std::ranges::any_of(
      report.rows, [](const FitRow& row) { return row.price.has_value() || !row.why_no_price.empty(); });
  const bool all_fit = std::ranges::all_of(report.rows, [](const FitRow& row) { return row.why_not.empty(); });
  TextTable table;
  table.columns = {"hardware",        "variant",           "devices",       "memory GiB",
                   "weights GiB",     "left for KV GiB",   "KV GiB a seq.", "sequences",
                   "decode tok/s, 1", "decode tok/s, all", "prefill tok/s"};
  table.right_aligned.assign(table.columns.size(), true);
  table.right_aligned[0] = table.right_aligned[1] = false;
  const auto add_column = [&](const char* name, bool is_right_aligned) {
    table.columns.emplace_back(name);
    table.right_aligned.push_back(is_right_aligned);
  };
  if (has_prices) {
    add_column("$/h", true);
    add_column("GiB per $/h", true);
  }
  if (!all_fit) add_column("does not fit", false);
  for (const FitRow& row : report.rows) {
    const bool fits = row.n_devices > 0;
    std::vector<std::string> cells = {row.hardware,
                                      row.variant,
                                      fits ? fmt::format("{}", row.n_devices) : kUnknown,
                                      gib(row.memory_bytes),
                                      gib(row.weights_bytes),
                                      fits ? gib(row.left_for_kv_bytes) : kUnknown,
                                      gib(row.kv_bytes_per_sequence),
                                      fits ? fmt::format("{}", row.n_sequences) : kUnknown,
                                      ceiling_text(row.decode_one),
                                      ceiling_text(row.decode_full),
                                      ceiling_text(row.prefill)};
    if (has_prices) {
      cells.push_back(row.price ? fmt::format("{:.2f}", row.price->usd_per_hour) : kUnknown);
      cells.push_back(row.gib_per_usd_hour ? fmt::format("{:.3g}", *row.gib_per_usd_hour) : kUnknown);
    }
    if (!all_fit) cells.push_back(row.why_not);
    table.rows.push_back(std::move(cells));
  }
  return table;
}

std::vector<std::string> fit_notes(const FitReport& report) {
  std::vector<std::string> notes;
  const auto parameters = static_cast<double>(report.n_parameters);
  notes.push_back(
      fmt::format("{}: {} parameters{}", report.model, billions(parameters),
                  report.n_active_parameters < 0.99 * parameters
                      ? fmt::format(", {} of which multiply each token", billions(report.n_active_parameters))
                      : ""));
  notes.push_back(
      fmt::format("{} of {}, cache in {}; {:g} % of each device's memory is left to driver, code "
                  "and fragmentation (assumed)",
                  counted(report.n_sequences, "sequence"), counted(report.context, "token"), report.kv_dtype,
                  100 * report.reserved_share));
  notes.emplace_back(
      "projected, not measured: tokens/s are what read rate and peak of the data sheets allow at best, and n devices count "
      "as n times one");
  for (const FitRow& row : report.rows) {
    if (row.price) notes.push_back(price_note(row, *row.price));
    // Why a model does not fit is in the table.
    if (row.n_devices > 0 && !row.why_no_price.empty()) {
      notes.push_back(fmt::format("{}: $/h is not known: {}", row.hardware, row.why_no_price));
    }
  }
  std::ranges::sort(notes.begin() + 3, notes.end());
  notes.erase(std::unique(notes.begin() + 3, notes.end()), notes.end());
  return notes;
}

Document fit_document(const FitReport& report) {
  Document document{
      fmt::format("Does {} fit?", report.model),
      "How many devices a model needs, what they have left, and the most that they could do. Nothing here was "
      "measured.",
      {}};
  document.add(Section{"fit", "Devices"});
  document.add(
      CaptionedTable{"The fewest devices that hold weights, workspace and the sequences; tokens/s are projected "
                     "ceilings, with the limit that binds",
                     fit_table(report)});
  document.add(Bullets{fit_notes(report)});
  document.add(Section{"memory", "Memory"});
  std::vector<Chart> charts;
  for (const std::string& variant : variants_of(report)) charts.push_back(memory_chart(report, variant));
  document.add(Charts{std::move(charts)});
  document.add(Section{"sources", "Sources"});
  document.add(FoldedTable{"Where the facts about the devices are from", source_table(report)});
  return document;
}

}  // namespace secondsource
