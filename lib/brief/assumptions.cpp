#include "brief/assumptions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "brief/brief_text.h"
#include "core/counted.h"

namespace secondsource {
namespace {

/// Adds `text` unless it is there.
void add_new(std::vector<std::string>& texts, const std::string& text) {
  if (std::ranges::find(texts, text) == texts.end()) texts.push_back(text);
}

/// How machines that no load needs are paid, as far as a shown option has any.
void add_machines_without_load(const Demand& demand, std::span<const Sku> skus, const OptionCosts& costs,
                               const std::vector<BriefOption>& shown, std::vector<std::string>& lines) {
  std::vector<std::string> always_paid;
  std::vector<std::string> owed_unstated;
  for (const OptionSpec& option : demand.options) {
    if (std::ranges::find(shown, option.name, &BriefOption::name) == shown.end()) continue;
    if (option.fallback && option.fallback->hours_per_year) {
      const Sku& sku = find_sku(skus, option.fallback->sku);
      if (!rented_hours(*option.fallback, sku)) add_new(always_paid, sku.spec.id);
    }
    for (const std::size_t index : costs.skus_owed_unstated(option)) add_new(owed_unstated, skus[index].spec.id);
  }
  if (!always_paid.empty()) {
    lines.push_back(
        fmt::format("A fallback of committed or owned machines is paid around the clock as well, whatever its "
                    "hours_per_year ({}).",
                    fmt::join(always_paid, ", ")));
  }
  if (!owed_unstated.empty()) {
    lines.push_back(
        fmt::format("Machines that are committed or owned today cost nothing from the day on which the load has "
                    "left them: what is still owed for them is in no figure, since the demand does not say until when "
                    "they are committed ({}).",
                    fmt::join(owed_unstated, ", ")));
  }
  std::vector<std::string> committed;
  for (const Sku& sku : skus) {
    if (sku.spec.committed)
      committed.push_back(fmt::format("{} of {} until {}", counted(sku.spec.committed->machines, "machine"),
                                      sku.spec.id, sku.spec.committed->until));
  }
  if (!committed.empty()) {
    lines.push_back(
        fmt::format("Committed machines are paid to their last day, whether or not the load needs them: {}.{}",
                    fmt::join(committed, ", "), demand.api ? " The cost of buying tokens does not include them." : ""));
  }
}

/// What was taken for granted of single SKUs: each assumption once, with the SKUs that rest on it.
void add_assumptions_of_skus(std::span<const Sku> skus, std::vector<std::string>& lines) {
  std::vector<std::pair<std::string, std::string>> skus_of;  // an assumption, and the SKUs that rest on it
  for (const Sku& sku : skus) {
    std::vector<std::string> texts = sku.price_assumptions;
    if (!sku.scaling.empty()) texts.push_back(sku.scaling);
    texts.insert(texts.end(), sku.load_assumptions.begin(), sku.load_assumptions.end());
    for (const std::string& text : texts) {
      const auto known =
          std::find_if(skus_of.begin(), skus_of.end(), [&](const auto& one) { return one.first == text; });
      if (known == skus_of.end()) {
        skus_of.emplace_back(text, sku.spec.id);
      } else {
        known->second += ", " + sku.spec.id;
      }
    }
  }
  for (const auto& [text, ids] : skus_of) lines.push_back(fmt::format("{}: {}.", ids, text));
}

}  // namespace

std::vector<std::string> demand_sentences(const Demand& demand) {
  std::vector<std::string> lines;
  lines.push_back(fmt::format(
      "{} requests a day, growing by {:g} % a year; {:g} % of them are batch work that may wait and run anywhere.",
      format_number(demand.requests_per_day), demand.growth_percent_per_year, demand.batch_percent));
  const auto peak = std::max_element(demand.profile.begin(), demand.profile.end());
  lines.push_back(fmt::format("The busiest hour begins at {}:00 and has {:.1f} % of a day's interactive requests.",
                              peak - demand.profile.begin(), 100 * *peak));
  for (const RequestKind& kind : demand.context_mix) {
    lines.push_back(fmt::format("{:g} % {}: {:g} input and {:g} output tokens a request.", kind.percent, kind.name,
                                kind.input_tokens, kind.output_tokens));
  }
  lines.push_back(fmt::format(
      "Promise to users ({}): for {:g} of 100 requests the first token within {:g} ms, the others {:g} ms apart.",
      demand.slo.name, demand.slo.percent, demand.slo.ttft_ms, demand.slo.tpot_ms));
  if (demand.outage) {
    lines.push_back(fmt::format("Without the main capacity for {:g} hours a year; an hour without service costs {}.",
                                demand.outage->hours_per_year, format_usd(demand.outage->usd_per_hour)));
  }
  return lines;
}

std::vector<std::string> assumption_sentences(const Demand& demand, std::span<const Sku> skus, const OptionCosts& costs,
                                              const std::vector<BriefOption>& shown) {
  std::vector<std::string> lines = {
      "Prices stay as they are and the load grows steadily, month by month (365/12 days each).",
      fmt::format("Capacity of {:g} % beyond the load is kept free in every hour; no fewer than {} of a machine "
                  "type that serves.",
                  demand.sizing.headroom_percent, counted(demand.sizing.minimum_replicas, "replica")),
      "Today's machines serve until the middle of an option's ramp, which stands for its steps; until then nothing is "
      "saved. What is rented to certify it is not counted.",
      "Machines on demand and on the spot market are added and released by the hour; committed and owned ones are paid "
      "around the clock at the day's peak.",
      "Batch work is spread evenly over the day.",
      fmt::format("Where the cost of an hour is split between tokens in and out, they count {:g} : {:g}; you have "
                  "{:.3g} input tokens for each output token.",
                  demand.weights.input, demand.weights.output,
                  demand.mean_input_tokens() / demand.mean_output_tokens())};
  if (demand.outage) {
    lines.push_back(
        "An outage takes the machines of the vendor that serves most users, hour by hour; the other vendors go on, and a "
        "fallback of another vendor carries its share for the hours that it is rented.");
  }
  add_machines_without_load(demand, skus, costs, shown, lines);
  add_assumptions_of_skus(skus, lines);
  return lines;
}

}  // namespace secondsource
