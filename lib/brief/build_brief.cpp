#include "brief/build_brief.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "brief/api_row.h"
#include "brief/assumptions.h"
#include "brief/brief_dates.h"
#include "brief/decision.h"
#include "brief/option_cost.h"
#include "brief/option_row.h"
#include "brief/risks.h"
#include "brief/sku.h"
#include "brief/sku_evaluation.h"
#include "brief/sources.h"
#include "brief/unasked.h"
#include "core/nearest_word.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

/// Nothing can be decided about a model that nobody serves, and its name is probably mistyped.
Result<void> check_model(const Demand& demand, std::span<const Sku> skus) {
  std::vector<std::string> known;
  for (const Sku& sku : skus) {
    if (sku.model == demand.model) return {};
    if (std::ranges::find(known, sku.model) == known.end()) known.push_back(sku.model);
  }
  return Error{ErrorCode::kInvalidInput,
               fmt::format("demand: model: expected one that its skus were measured or quoted with ({}), found {}{}",
                           fmt::join(known, ", "), in_quotes(demand.model), did_you_mean(demand.model, known))};
}

/// Keeps of the options that nobody asked for only the one that the decision names.
void drop_unasked(Brief& brief) {
  const auto is_dropped = [&](const std::string& name) {
    return std::any_of(brief.options.begin(), brief.options.end(), [&](const BriefOption& option) {
      return option.name == name && option.kind == OptionKind::kUnasked && name != brief.decision.unasked;
    });
  };
  for (BriefRisk& risk : brief.risks) std::erase_if(risk.options, is_dropped);
  std::erase_if(brief.risks, [](const BriefRisk& risk) { return risk.options.empty(); });
  std::erase_if(brief.options, [&](const BriefOption& option) {
    return option.kind == OptionKind::kUnasked && option.name != brief.decision.unasked;
  });
}

}  // namespace

Result<Brief> build_brief(const BriefInputs& inputs) {
  Demand demand = inputs.demand;
  SS_TRY(const std::vector<Sku> skus, resolve_skus(demand, inputs.runs, inputs.quoted, inputs.prices));
  SS_TRY_VOID(check_model(demand, skus));
  SS_TRY_VOID(check_dates(inputs, skus));
  for (OptionSpec& option : unasked_options(inputs.demand)) demand.options.push_back(std::move(option));
  const OptionCosts costs(demand, skus, inputs.date);
  Brief brief{
      .title = demand.title, .date = inputs.date, .model = demand.model, .decision_years = demand.decision_years};
  brief.risks = risks_of({demand, skus, inputs.prices, inputs.waivers, inputs.date}, costs);
  for (const OptionSpec& option : demand.options) {
    SS_TRY(BriefOption row, option_row(demand, skus, costs, option, inputs.date));
    row.is_eligible = !breaks_a_limit(brief.risks, option.name);
    brief.options.push_back(std::move(row));
  }
  brief.decision = decide(demand, brief.options, brief.risks, skus);
  drop_unasked(brief);
  brief.skus = evaluate_skus(demand, skus, brief.options, brief.decision);
  if (demand.api) brief.apis.push_back(api_row(demand, skus, costs));
  brief.demand = demand_sentences(demand);
  brief.assumptions = assumption_sentences(demand, skus, costs, brief.options);
  add_sources(inputs, skus, brief);
  brief.command = inputs.command;
  return brief;
}

}  // namespace secondsource
