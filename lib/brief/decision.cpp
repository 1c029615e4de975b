#include "brief/decision.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "brief/brief_text.h"

namespace secondsource {
namespace {

class Decider {
 public:
  Decider(const Demand& demand, const std::vector<BriefOption>& options, const std::vector<BriefRisk>& risks,
          std::span<const Sku> skus)
      : demand_(demand), options_(options), risks_(risks), skus_(skus) {}

  BriefDecision decide() {
    const BriefOption& stay = options_.front();
    const BriefOption* best = taken(false);
    const bool stays = stay.is_eligible && best == nullptr;
    // An option that nobody asked for is named if the rule would choose it, had the buyer stated it, and if it is known
    // what it saves.
    const BriefOption* unasked = taken(true);
    if (unasked != nullptr && (unasked->kind != OptionKind::kUnasked || !saving(*unasked).value)) unasked = nullptr;
    BriefDecision decision = stays ? stay_put(stay) : best == nullptr ? nothing() : change(*best, stay);
    if (unasked != nullptr) {
      decision.unasked = unasked->name;
      decision.line = fmt::format("{} {}. Of your own options: {}", unasked->name, comparison(*unasked), decision.line);
    }
    add_evidence(decision, unasked);
    return decision;
  }

 private:
  [[nodiscard]] const Figure& saving(const BriefOption& option) const {
    return demand_.decision_years == 1 ? option.saving_percent_1_year : option.saving_percent_3_years;
  }
  /// True if the option saves more than the buyer asks for, at the lower end of its interval where it has one.
  [[nodiscard]] bool surely_saves(const BriefOption& option) const {
    const Figure& percent = saving(option);
    return percent.value && percent.low.value_or(*percent.value) > demand_.limits.min_saving_percent;
  }
  /// Returns the figure that options are ranked by: the saving, or, where staying cannot be costed, the negative cost,
  /// which gives the same order.
  [[nodiscard]] double merit(const BriefOption& option) const {
    const Figure& usd = demand_.decision_years == 1 ? option.usd_1_year : option.usd_3_years;
    return saving(option).value.value_or(-usd.value.value_or(std::numeric_limits<double>::infinity()));
  }
  [[nodiscard]] std::string over() const {
    return demand_.decision_years == 1 ? "over one year" : fmt::format("over {} years", demand_.decision_years);
  }

  /// The option other than staying with the largest saving of those that are within the limits and for which `holds`.
  /// Of equal ones, the first that the buyer stated.
  template <typename Holds>
  [[nodiscard]] const BriefOption* best_of(Holds holds) const {
    const BriefOption* best = nullptr;
    for (const BriefOption& option : options_) {
      if (option.kind == OptionKind::kStay || !option.is_eligible || !holds(option)) continue;
      if (best == nullptr || merit(option) > merit(*best)) best = &option;
    }
    return best;
  }
  /// The option that the rule takes instead of staying, from those that the buyer stated or from all; nullptr for none.
  /// It need not save anything where staying is not within the limits.
  [[nodiscard]] const BriefOption* taken(bool with_unasked) const {
    return best_of([&](const BriefOption& option) {
      return (with_unasked || option.kind != OptionKind::kUnasked) &&
             (!options_.front().is_eligible || surely_saves(option));
    });
  }

  /// For example "is projected to cost 12 % (10 to 14 %) less than staying over 3 years and saves $1.2 M".
  [[nodiscard]] std::string comparison(const BriefOption& option) const {
    const Figure& percent = saving(option);
    if (!percent.value) return "cannot be compared with staying";
    const bool less = *percent.value >= 0;
    std::string text = fmt::format("costs {}{} {} than staying {}", format_percent(std::abs(*percent.value)),
                                   interval_text(percent, less), less ? "less" : "more", over());
    if (option.saving_usd.value && less) text += fmt::format(", a saving of {}", format_usd(*option.saving_usd.value));
    return text;
  }

  static std::string interval_text(const Figure& percent, bool less) {
    if (!percent.low || !percent.high) return "";
    const double sign = less ? 1 : -1;
    const auto [low, high] = std::minmax({sign * *percent.low, sign * *percent.high});
    return fmt::format(" ({} to {})", format_percent(low), format_percent(high));
  }

  BriefDecision stay_put(const BriefOption& stay) const {
    BriefDecision decision{.option = stay.name};
    decision.line = fmt::format(
        "{}. No other option that you asked for is within your limits and sure to save more than {:g} % {}.", stay.name,
        demand_.limits.min_saving_percent, over());
    const BriefOption* nearest = best_of([](const BriefOption& option) { return option.kind != OptionKind::kUnasked; });
    if (nearest != nullptr)
      decision.reasons.push_back(fmt::format("The nearest, {}, {}.", nearest->name, comparison(*nearest)));
    add_excluded(decision);
    return decision;
  }

  BriefDecision nothing() const {
    BriefDecision decision{.option = "", .status = DecisionStatus::kNoEligibleOption};
    const BriefOption& stay = options_.front();
    decision.reasons.push_back(fmt::format("{} is out: {}", stay.name, limits_of(stay.name)));
    add_excluded(decision);
    const auto is_costed = [](const BriefOption& option) {
      return option.kind != OptionKind::kUnasked && option.not_costed.empty();
    };
    if (std::any_of(options_.begin(), options_.end(), is_costed)) {
      decision.line = "No option is within your risk limits.";
    } else {
      decision.line = fmt::format("No option could be costed: {}; {}.", stay.not_costed, how_to_cost(stay));
    }
    return decision;
  }

  /// What gives an option the first speed that it lacks.
  [[nodiscard]] std::string how_to_cost(const BriefOption& option) const {
    for (const Sku& sku : skus_) {
      if (!option.not_costed.starts_with(sku.spec.id + ": ")) continue;
      if (sku.is_measured()) return fmt::format("run `{}`, and give that run", sku.command);
    }
    return "quote a speed under limits that cover yours, or measure it";
  }

  BriefDecision change(const BriefOption& option, const BriefOption& stay) const {
    BriefDecision decision{.option = option.name};
    decision.line = fmt::format("{} {}.", option.name, comparison(option));
    if (!stay.is_eligible) decision.reasons.push_back("Staying is not within your limits: " + limits_of(stay.name));
    if (!saving(option).low) decision.reasons.push_back("The saving has no interval: " + why_no_interval(option));
    for (const BriefBreakEven& price : option.break_even_prices) {
      if (!price.usd_per_hour.value) continue;
      decision.reasons.push_back(fmt::format("{} pays while an hour of {} costs less than {} (now {}).", option.name,
                                             price.sku, format_usd(*price.usd_per_hour.value),
                                             format_usd(price.usd_per_hour_now.value.value_or(0))));
    }
    add_excluded(decision);
    return decision;
  }

  [[nodiscard]] bool rests_on_quotes(const BriefOption& option) const {
    return std::any_of(option.parts.begin(), option.parts.end(), [&](const BriefPart& part) {
      return part.has_load() && !find_sku(skus_, part.sku).is_measured();
    });
  }
  [[nodiscard]] std::string why_no_interval(const BriefOption& option) const {
    return rests_on_quotes(option) || rests_on_quotes(options_.front())
               ? "quoted speeds are published without one."
               : "a speed was measured fewer than three times.";
  }

  /// The ids of the SKUs for which `holds`, of all options that are compared: staying, those within the limits, and the
  /// one that nobody asked for.
  template <typename Holds>
  [[nodiscard]] std::string compared_skus(const BriefOption* unasked, Holds holds) const {
    std::vector<std::string> ids;
    for (const Sku& sku : skus_) {
      const bool is_compared = std::any_of(options_.begin(), options_.end(), [&](const BriefOption& option) {
        if (option.kind == OptionKind::kUnasked ? &option != unasked
                                                : option.kind != OptionKind::kStay && !option.is_eligible) {
          return false;
        }
        return std::any_of(option.parts.begin(), option.parts.end(),
                           [&](const BriefPart& part) { return part.has_load() && part.sku == sku.spec.id; });
      });
      if (is_compared && holds(sku)) ids.push_back(sku.spec.id);
    }
    return fmt::format("{}", fmt::join(ids, ", "));
  }

  /// Figures over years are projected in any case. A decision is provisional only if a speed that it compares was not
  /// measured on the machine that is priced, or if an option that nobody asked for saves more.
  void add_evidence(BriefDecision& decision, const BriefOption* unasked) const {
    if (decision.status == DecisionStatus::kNoEligibleOption) return;
    const std::size_t n_reasons = decision.reasons.size();
    if (unasked != nullptr) {
      decision.reasons.push_back(fmt::format(
          "Provisional: {} saves more than what you asked for. Add it to the options, or set the limit that "
          "rules it out, and make this brief again.",
          unasked->name));
    }
    if (const std::string ids = compared_skus(unasked, [](const Sku& sku) { return !sku.is_measured(); });
        !ids.empty()) {
      decision.reasons.push_back(
          fmt::format("Provisional: quoted speeds are compared ({}). Rent one of each, run the harness, and make this "
                      "brief again before you sign.",
                      ids));
    }
    if (const std::string ids = compared_skus(unasked, [](const Sku& sku) { return !sku.price_assumptions.empty(); });
        !ids.empty()) {
      decision.reasons.push_back(
          fmt::format("Provisional: speeds are compared that were measured on another machine than the one that is "
                      "priced ({}). Measure them there before you sign.",
                      ids));
    }
    if (decision.reasons.size() > n_reasons) decision.status = DecisionStatus::kProvisional;
  }

  [[nodiscard]] std::string limits_of(const std::string& name) const {
    std::string text;
    for (const BriefRisk& risk : risks_) {
      const bool concerns = std::find(risk.options.begin(), risk.options.end(), name) != risk.options.end();
      if (risk.level == RiskLevel::kLimit && concerns) text += (text.empty() ? "" : "; ") + risk.text;
    }
    return text + ".";
  }

  void add_excluded(BriefDecision& decision) const {
    for (const BriefOption& option : options_) {
      if (!option.is_eligible && option.kind != OptionKind::kStay && option.kind != OptionKind::kUnasked) {
        decision.reasons.push_back(fmt::format("{} is out: {}", option.name, limits_of(option.name)));
      }
    }
  }

  const Demand& demand_;
  const std::vector<BriefOption>& options_;
  const std::vector<BriefRisk>& risks_;
  std::span<const Sku> skus_;
};

}  // namespace

BriefDecision decide(const Demand& demand, const std::vector<BriefOption>& options, const std::vector<BriefRisk>& risks,
                     std::span<const Sku> skus) {
  return Decider(demand, options, risks, skus).decide();
}

}  // namespace secondsource
