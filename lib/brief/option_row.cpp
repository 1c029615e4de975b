#include "brief/option_row.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "brief/timeline.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr double kSwing = 0.3;

/// More machines than this are not sold; a demand that needs them has an error in its volume, growth or lengths.
constexpr std::int64_t kMostMachines = 10'000'000;

std::string shares_text(const std::vector<Share>& shares) {
  std::string text;
  for (const Share& share : shares)
    text += fmt::format("{}{:g} % on {}", text.empty() ? "" : ", ", share.percent, share.sku);
  return text;
}

std::string option_sentence(const OptionSpec& option, const Demand& demand, std::span<const Sku> skus) {
  std::string text = "Interactive load: " + shares_text(option.interactive);
  if (demand.batch_percent > 0) text += "; batch work: " + shares_text(option.batch);
  if (option.fallback) {
    text += fmt::format("; {} ready to carry {:g} % of the peak, ", option.fallback->sku, option.fallback->percent);
    const std::optional<double> hours = rented_hours(*option.fallback, find_sku(skus, option.fallback->sku));
    text += hours ? fmt::format("rented {:g} hours a year", *hours) : "running around the clock";
  }
  return text + ".";
}

/// Computes the figures of one option.
class OptionRow {
 public:
  OptionRow(const Demand& demand, std::span<const Sku> skus, const OptionCosts& costs, const OptionSpec& option)
      : demand_(demand), skus_(skus), costs_(costs), option_(option), years_(demand.decision_years) {
    for (const std::size_t index : costs_.skus_costed(option))
      evidence_ = evidence_.combined(evidence_of(skus_[index]));
    for (const std::size_t index : costs_.skus_of(demand.stay()))
      stay_evidence_ = stay_evidence_.combined(evidence_of(skus_[index]));
    for (const Sku& sku : skus_) {
      if (!sku.spec.committed) continue;
      evidence_ = evidence_.combined(price_evidence(sku));
      stay_evidence_ = stay_evidence_.combined(price_evidence(sku));
    }
  }

  Result<BriefOption> row(std::string_view date) {
    BriefOption row{.name = option_.name, .kind = option_.kind, .what = option_sentence(option_, demand_, skus_)};
    SS_TRY(row.timeline, timeline_of(option_, date));
    row.not_costed = costs_.why_not(option_);
    const std::string stay_not_costed = costs_.why_not(demand_.stay());
    if (!row.not_costed.empty()) {
      set_absent(row);
      return row;
    }
    SS_TRY_VOID(check_size());
    const OptionCost cost = costs_.over_years(option_, years_, assume_as_known(skus_));
    add_costs(cost, row);
    add_parts(cost, row);
    if (option_.kind == OptionKind::kStay) {
      const Figure none = Figure::absent("%", "this is staying");
      row.saving_percent_1_year = row.saving_percent_3_years = none;
      row.saving_usd = Figure::absent("USD", "this is staying");
      row.break_even_requests_per_day = Figure::absent("requests/day", "this is staying");
    } else if (!stay_not_costed.empty()) {
      const std::string why = "staying cannot be costed: " + stay_not_costed;
      row.saving_percent_1_year = row.saving_percent_3_years = Figure::absent("%", why);
      row.saving_usd = Figure::absent("USD", why);
      row.break_even_requests_per_day = Figure::absent("requests/day", why);
    } else {
      add_savings(row);
      add_break_evens(row);
      add_sensitivities(row);
    }
    return row;
  }

 private:
  /// Figures over years assume that load and prices stay as they are, so that all of them count as projected.
  static Evidence evidence_of(const Sku& sku) {
    const Evidence speed = sku.at_slo.evidence.combined(sku.batch_speed().evidence);
    return speed.combined(price_evidence(sku)).as_projected();
  }

  static Evidence price_evidence(const Sku& sku) { return {.basis = {"price " + sku.price.key()}}; }

  [[nodiscard]] Result<void> check_size() const {
    for (const OptionPart& part : costs_.over_years(option_, 3, assume_as_known(skus_)).parts) {
      if (part.cost.peak_instances <= kMostMachines) continue;
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("demand: the load needs more than {} machines of {} at its peak within three years: "
                               "expected no more; look at volume, its growth, and the lengths of context_mix",
                               kMostMachines, in_quotes(skus_[part.sku].spec.id))};
    }
    return {};
  }

  void set_absent(BriefOption& row) const {
    for (Figure* figure : {&row.usd_1_year, &row.usd_3_years, &row.saving_usd, &row.migration_usd, &row.outage_usd}) {
      *figure = Figure::absent("USD", row.not_costed);
    }
    row.saving_percent_1_year = row.saving_percent_3_years = Figure::absent("%", row.not_costed);
    row.usd_per_1k_output = Figure::absent("USD/1K", row.not_costed);
    row.break_even_requests_per_day = Figure::absent("requests/day", row.not_costed);
  }

  /// cost: over the years of the decision.
  void add_costs(const OptionCost& cost, BriefOption& row) const {
    row.usd_1_year = Figure::of(costs_.total_usd(option_, 1), "USD", evidence_);
    row.usd_3_years = Figure::of(costs_.total_usd(option_, 3), "USD", evidence_);
    const Interval total = costs_.total_usd(option_, years_);
    row.usd_per_1k_output =
        Figure::of(map_rising(total, [&](double usd) { return 1000 * usd / cost.output_tokens; }), "USD/1K", evidence_);
    row.migration_usd = Figure::stated(cost.migration_usd, "USD");
    row.outage_usd =
        demand_.outage ? Figure::stated(cost.outage_usd, "USD") : Figure::absent("USD", "no outage was stated");
  }

  void add_parts(const OptionCost& cost, BriefOption& row) const {
    const std::vector<std::size_t> costed = costs_.skus_costed(option_);
    for (const OptionPart& part : cost.parts) {
      const Sku& sku = skus_[part.sku];
      // A speed decides how many machines are owed only if the SKU also serves load.
      const bool is_costed = std::ranges::count(costed, part.sku) > 0;
      const Evidence evidence = is_costed ? evidence_of(sku) : price_evidence(sku).as_projected();
      row.parts.push_back(
          {.sku = sku.spec.id,
           .role = part.role,
           .interactive_percent = part.interactive_percent,
           .batch_percent = part.batch_percent,
           .peak_instances = Figure::of({.value = static_cast<double>(part.cost.peak_instances)}, "", evidence),
           .idle_percent = Figure::of({.value = 100 * part.cost.idle_share}, "%", evidence),
           .usd = Figure::of({.value = part.cost.usd}, "USD", evidence)});
    }
  }

  void add_savings(BriefOption& row) const {
    const Evidence both = evidence_.combined(stay_evidence_);
    row.saving_percent_1_year = Figure::of(costs_.saving(option_, demand_.stay(), 1).percent, "%", both);
    row.saving_percent_3_years = Figure::of(costs_.saving(option_, demand_.stay(), 3).percent, "%", both);
    row.saving_usd = Figure::of(costs_.saving(option_, demand_.stay(), years_).usd, "USD", both);
  }

  void add_break_evens(BriefOption& row) const {
    const Evidence both = evidence_.combined(stay_evidence_);
    const std::vector<std::size_t> used_by_stay = costs_.skus_of(demand_.stay());
    for (const std::size_t index : costs_.skus_of(option_)) {
      if (std::find(used_by_stay.begin(), used_by_stay.end(), index) != used_by_stay.end()) continue;
      if (skus_[index].spec.committed) continue;  // its price is agreed, and staying pays it, too
      const PriceRow& price = skus_[index].price;
      const std::optional<double> usd = costs_.break_even_usd_per_hour(option_, demand_.stay(), index, years_);
      row.break_even_prices.push_back(
          {.sku = skus_[index].spec.id,
           .usd_per_hour_now = Figure::stated(price.usd_per_hour, "USD/h",
                                              price.commitment == Commitment::kOwn ? "own cost" : "list price"),
           .usd_per_hour = usd ? Figure::of({.value = *usd}, "USD/h", both)
                               : Figure::absent("USD/h", "what else the option costs is more than staying")});
    }
    const LoadBreakEven volume = costs_.break_even_volume(option_, demand_.stay(), years_);
    constexpr double kSmallest = 0.01;
    if (!volume.always) {
      row.break_even_requests_per_day = Figure::absent("requests/day", "at no load up to 100 times yours");
    } else if (*volume.always <= kSmallest) {
      row.break_even_requests_per_day = Figure::absent("requests/day", "at every load from a hundredth of yours");
    } else {
      row.break_even_requests_per_day =
          Figure::of({.value = *volume.always * demand_.requests_per_day}, "requests/day", both);
    }
  }

  void add_sensitivities(BriefOption& row) const {
    const Evidence both = evidence_.combined(stay_evidence_);
    const auto add = [&](std::string what, auto change) {
      const auto saving_at = [&](double factor) {
        Assumed assumed = assume_as_known(skus_);
        change(assumed, factor);
        const double stay = costs_.over_years(demand_.stay(), years_, assumed).total_usd();
        const double option = costs_.over_years(option_, years_, assumed).total_usd();
        return Figure::of({.value = saved_percent({.stay = stay, .option = option})}, "%", both);
      };
      row.sensitivities.push_back({std::move(what), saving_at(1 - kSwing), saving_at(1 + kSwing)});
    };
    for (const std::size_t index : costs_.skus_of_either(option_, demand_.stay())) {
      const std::string& id = skus_[index].spec.id;
      add("price of " + id, [index](Assumed& assumed, double factor) { assumed.usd_per_hour[index] *= factor; });
      add("speed of " + id, [index](Assumed& assumed, double factor) {
        assumed.rates[index].batch_tok_per_s *= factor;
        assumed.rates[index].interactive_tok_per_s *= factor;
      });
    }
    add("your volume", [](Assumed& assumed, double factor) { assumed.volume *= factor; });
  }

  const Demand& demand_;
  std::span<const Sku> skus_;
  const OptionCosts& costs_;
  const OptionSpec& option_;
  std::int64_t years_;
  Evidence evidence_{};
  Evidence stay_evidence_{};
};

}  // namespace

Result<BriefOption> option_row(const Demand& demand, std::span<const Sku> skus, const OptionCosts& costs,
                               const OptionSpec& option, std::string_view date) {
  return OptionRow(demand, skus, costs, option).row(date);
}

}  // namespace secondsource
