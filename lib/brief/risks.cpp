#include "brief/risks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/beside_limit.h"
#include "core/calendar.h"
#include "core/counted.h"
#include "core/enum_format.h"
#include "gate/metric.h"

namespace secondsource {
namespace {

using enum RiskLevel;

/// Beyond this share of the CPUs taken by other processes, a measurement depends on more than the machine
/// (docs/gate.md).
constexpr double kQuietShare = 0.02;

/// The wider side of the interval, in percent of the value; nullopt without an interval.
std::optional<double> uncertainty_percent(const Speed& speed) {
  if (!speed.tok_per_s || !speed.tok_per_s->is_bounded()) return std::nullopt;
  const Interval& rate = *speed.tok_per_s;
  return 100 * std::max(*rate.high - rate.value, rate.value - *rate.low) / rate.value;
}

class RiskCollector {
 public:
  RiskCollector(const RiskInputs& inputs, const OptionCosts& costs) : in_(inputs), costs_(costs) {}

  std::vector<BriefRisk> collect() {
    for (const OptionSpec& option : in_.demand.options) {
      option_ = &option;
      add_option_risks();
      for (const std::size_t index : costs_.skus_of(option)) add_sku_risks(in_.skus[index]);
    }
    std::stable_sort(risks_.begin(), risks_.end(),
                     [](const BriefRisk& a, const BriefRisk& b) { return a.level < b.level; });
    return std::move(risks_);
  }

 private:
  void add(RiskLevel level, const std::string& text) {
    for (BriefRisk& risk : risks_) {
      if (risk.level != level || risk.text != text) continue;
      if (risk.options.back() != option_->name) risk.options.push_back(option_->name);
      return;
    }
    risks_.push_back({level, text, {option_->name}});
  }

  // -- risks of an option

  void add_option_risks() {
    const std::string why = costs_.why_not(*option_);
    // A variant outside its limits is a fault of its SKU, which add_sku_risks() names.
    if (!why.empty() && costs_.outside_limits(*option_).empty()) add(kLimit, "cannot be costed: " + why);
    add_single_supplier();
    add_spot_share();
    add_other_models();
    add_mixed_precision();
    add_evidence();
    add_owed();
  }

  /// Percent of all requests that each SKU serves.
  [[nodiscard]] std::map<std::string, double> shares() const {
    const double batch = in_.demand.batch_percent / 100;
    std::map<std::string, double> result;
    for (const Share& share : option_->interactive) result[share.sku] += share.percent * (1 - batch);
    for (const Share& share : option_->batch) result[share.sku] += share.percent * batch;
    return result;
  }

  void add_single_supplier() {
    std::map<std::string, double> by_vendor;
    for (const auto& [id, percent] : shares()) by_vendor[find_sku(in_.skus, id).spec.vendor] += percent;
    const auto largest = std::max_element(by_vendor.begin(), by_vendor.end(),
                                          [](const auto& a, const auto& b) { return a.second < b.second; });
    const std::optional<double>& limit = in_.demand.limits.max_single_vendor_percent;
    if (limit && largest->second > *limit + 1e-9) {
      add(kLimit, fmt::format("{} % of the load is on one supplier ({}); your limit is {:g} %",
                              text_beside_limit(largest->second, *limit, 0), largest->first, *limit));
    } else if (largest->second > 99.9) {
      add(kWarning, fmt::format("single supplier: all of the load is on {}", largest->first));
    }
  }

  void add_spot_share() {
    double on_spot = 0;
    for (const auto& [id, percent] : shares()) {
      if (find_sku(in_.skus, id).price.commitment == Commitment::kSpot) on_spot += percent;
    }
    if (!(on_spot > 0)) return;
    const std::optional<double>& limit = in_.demand.limits.max_spot_percent;
    const std::string text = fmt::format("{} % of the load is on spot machines, which can be taken away",
                                         text_beside_limit(on_spot, limit.value_or(0), 0));
    if (limit && on_spot > *limit + 1e-9) {
      add(kLimit, fmt::format("{}; your limit is {:g} %", text, *limit));
    } else {
      add(kWarning, text);
    }
    for (const Share& share : option_->interactive) {
      if (find_sku(in_.skus, share.sku).price.commitment == Commitment::kSpot)
        add(kWarning, share.sku + ": interactive work on spot machines");
    }
  }

  void add_other_models() {
    for (const auto& [id, percent] : shares()) {
      const Sku& sku = find_sku(in_.skus, id);
      if (percent > 0 && sku.model != in_.demand.model) {
        add(kLimit,
            fmt::format("{} serves {}, not {}: its figures are of another model", id, sku.model, in_.demand.model));
      }
    }
    if (!option_->fallback) return;
    const Sku& sku = find_sku(in_.skus, option_->fallback->sku);
    if (sku.model != in_.demand.model) {
      add(kWarning,
          fmt::format("the fallback serves {} instead of {}: another quality of answers", sku.model, in_.demand.model));
    }
  }

  void add_mixed_precision() {
    std::set<std::string> precisions;
    for (const auto& [id, percent] : shares()) precisions.insert(find_sku(in_.skus, id).precision);
    for (const Share& share : in_.demand.stay().interactive) precisions.insert(find_sku(in_.skus, share.sku).precision);
    if (precisions.size() > 1) {
      add(kWarning, fmt::format("precisions differ ({}): not the same quality of answers at these prices",
                                fmt::join(precisions, ", ")));
    }
  }

  void add_evidence() {
    for (const std::size_t index : costs_.skus_of(*option_)) {
      const Sku& sku = in_.skus[index];
      if (sku.is_measured()) continue;
      const std::string text = fmt::format("{}: its speed is quoted, not measured", sku.spec.id);
      add(in_.demand.limits.require_measured ? kLimit : kWarning, text);
    }
  }

  void add_owed() {
    for (const std::size_t index : costs_.skus_owed_unstated(*option_)) {
      const Sku& sku = in_.skus[index];
      const std::string how = sku.price.commitment == Commitment::kOwn
                                  ? std::string("owned")
                                  : fmt::format("committed ({})", to_string(sku.price.commitment));
      add(kWarning,
          fmt::format("{}: {} today; what is still owed for it once the load has left it is not in the figures",
                      sku.spec.id, how));
    }
    if (!costs_.why_not(*option_).empty()) return;
    const OptionCost cost = costs_.over_years(*option_, in_.demand.decision_years, assume_as_known(in_.skus));
    for (const OptionPart& part : cost.parts) {
      if (part.role != PartRole::kOwed) continue;
      const SkuSpec& spec = in_.skus[part.sku].spec;
      const std::string machines = counted(spec.committed->machines, "machine is", "machines are");
      add(kWarning, fmt::format("{}: {} committed until {}; the cost includes those that the load does not need",
                                spec.id, machines, spec.committed->until));
    }
  }

  // -- risks of a SKU

  void add_sku_risks(const Sku& sku) {
    for (const std::string& fault : sku.faults) add(kLimit, fmt::format("{}: {}", sku.spec.id, fault));
    add_uncertainty(sku);
    if (!sku.scaling.empty())
      add(kWarning, fmt::format("{}: it was not measured whether {}", sku.spec.id, sku.scaling));
    if (sku.is_measured()) {
      if (!sku.run->has_samples) {
        add(kNote, fmt::format("{}: only the summary of run {} is stored here, not its samples", sku.spec.id,
                               sku.run->stored.record.run_id));
      }
      add_cells(sku);
      add_failures(sku);
      add_memory(sku);
    }
    add_price(sku);
  }

  void add_uncertainty(const Sku& sku) {
    const std::optional<double>& limit = in_.demand.limits.max_speed_uncertainty_percent;
    for (const auto& [name, speed] : {std::pair{"at the SLO", &sku.at_slo}, {"at full load", &sku.full_load}}) {
      if (!speed->tok_per_s) continue;
      const std::optional<double> percent = uncertainty_percent(*speed);
      if (!percent) {
        if (sku.is_measured())
          add(kWarning,
              fmt::format("{}: its speed {} has no interval: fewer than three repetitions", sku.spec.id, name));
      } else if (limit && *percent > *limit) {
        add(kLimit, fmt::format("{}: its speed {} is known to ± {} %; your limit is {:g} %", sku.spec.id, name,
                                text_beside_limit(*percent, *limit, 1), *limit));
      } else {
        add(kNote, fmt::format("{}: its speed {} varied: known to ± {:.1f} %", sku.spec.id, name, *percent));
      }
    }
    if (!sku.is_measured())
      add(kNote, fmt::format("{}: quoted speeds come without an interval, so its costs have none", sku.spec.id));
  }

  void add_cells(const Sku& sku) {
    for (const CellSummary* cell : sku.cells) {
      const std::string id = cell->key.id();
      if (cell->status == CellStatus::kInvalid)
        add(kWarning, fmt::format("{}: its figures were not used: {}", id, why_incomplete(*cell)));
      if (cell->status == CellStatus::kFailed || cell->status == CellStatus::kMissing)
        add(kWarning, fmt::format("{}: {}, not measured: {}", id, cell->status,
                                  cell->notes.empty() ? "no reason recorded" : why_incomplete(*cell)));
      if (cell->status == CellStatus::kPartial) add(kNote, id + ": fewer repetitions than planned");
      for (const CheckRecord& check : cell->checks) {
        if (check.outcome == CheckOutcome::kSuspect) {
          add(kWarning, fmt::format("{}: suspect ({}): {}", id, check.name, check.detail));
        }
      }
      if (cell->golden == GoldenVerdict::kUnverified && !in_.demand.limits.require_passed_golden) {
        add(kWarning, id + ": unverified: nothing proves its tokens right");
      }
      // This is for runs without the check "foreign_cpu", which is the better measure because it counts only the CPU
      // time that the cell itself was missing.
      const bool is_checked = std::any_of(cell->checks.begin(), cell->checks.end(),
                                          [](const CheckRecord& check) { return check.name == "foreign_cpu"; });
      if (!is_checked && cell->others_cpu_share.value_or(0) > kQuietShare) {
        add(kWarning, fmt::format("{}: other processes took up to {:.0f} % of the CPUs while it was measured", id,
                                  100 * *cell->others_cpu_share));
      }
      for (const Waiver& waiver : in_.waivers) {
        const bool is_waived = std::ranges::any_of(gate_metrics_of(cell->scenario), [&](const GateMetric& metric) {
          return matches(waiver.scope, cell->key, metric.name);
        });
        if (is_waived && !is_expired(waiver, in_.today)) {
          add(kWarning, fmt::format("{}: a regression of up to {:g} % is waived until {} ({}: {})", id,
                                    waiver.ceiling_percent, waiver.expires, waiver.id, waiver.reason));
        }
      }
    }
  }

  void add_failures(const Sku& sku) {
    const std::string& name = sku.spec.measured->backend;
    for (const FailureRecord& failure : sku.run->summary.failures) {
      if (failure.backend == name)
        add(kWarning, fmt::format("{}: {} {}: {}", sku.spec.id, name, failure.kind, failure.message));
    }
    for (const GoldenRecord& golden : sku.run->summary.golden) {
      const MeasuredSpeed& measured = *sku.spec.measured;
      if (golden.bundle != measured.bundle || golden.backend != name || golden.variant != measured.variant) continue;
      if (golden.level) {
        add(kNote, fmt::format("{}: its tokens were judged at level {}, which cannot show {}", sku.spec.id,
                               to_string(*golden.level), blind_spot(*golden.level)));
      }
      if (golden.n_skipped > 0) {
        add(kNote, fmt::format("{}: {} of {} golden prompts were not run on it", sku.spec.id, golden.n_skipped,
                               golden.n_prompts + golden.n_skipped));
      }
    }
  }

  void add_memory(const Sku& sku) {
    constexpr double kFewPercent = 10;
    const std::optional<double>& limit = in_.demand.limits.min_memory_headroom_percent;
    if (!sku.memory_headroom_percent) {
      if (limit) add(kWarning, fmt::format("{}: memory headroom not available: {}", sku.spec.id, sku.why_no_memory));
      return;
    }
    const double free = *sku.memory_headroom_percent;
    const auto text = [&](double least) {
      if (free < 0) return fmt::format("it needs {:.0f} % of its memory at the peak", 100 - free);
      return fmt::format("{} % of its memory is free at the peak", text_beside_limit(free, least, 0));
    };
    if (limit && free < *limit) {
      add(kLimit,
          fmt::format("{}: {}; your limit is {:g} %{}", sku.spec.id, text(*limit), *limit, free < 0 ? " free" : ""));
    } else if (free < kFewPercent) {
      add(kWarning, fmt::format("{}: {}{}", sku.spec.id, free < 0 ? "" : "only ", text(kFewPercent)));
    }
  }

  void add_price(const Sku& sku) {
    const PriceRow& price = sku.price;
    const std::optional<double>& limit = in_.demand.limits.max_price_age_days;
    if (limit && !stale_rows({price}, in_.today, static_cast<std::int64_t>(*limit)).empty()) {
      const std::string_view age = price.date == "undated" ? "was read longer ago than" : "is older than";
      add(kLimit, fmt::format("{}: its price {} your {}: {}", sku.spec.id, age, counted(*limit, "day"), price.dated()));
    } else if (price.date == "undated") {
      add(kNote, fmt::format("{}: its price has no date in its source ({})", sku.spec.id, price.dated()));
    }
    if (price.usd_per_hour_low && price.usd_per_hour_high) {
      add(kWarning, fmt::format("{}: zones of its region differ from {:g} to {:g} USD/h", sku.spec.id,
                                *price.usd_per_hour_low, *price.usd_per_hour_high));
    }
    // Compares the price with that of the same machine on the other market (spot or on demand), to show how far prices
    // can move.
    const Commitment other = price.commitment == Commitment::kSpot ? Commitment::kOnDemand : Commitment::kSpot;
    for (const PriceRow& row : in_.prices) {
      const bool same = row.provider == price.provider && row.region == price.region && row.instance == price.instance;
      if (!same || row.commitment != other) continue;
      add(price.commitment == Commitment::kSpot ? kWarning : kNote,
          fmt::format("{}: {} costs {:g} USD/h {}, {:g} {}", sku.spec.id, price.instance, price.usd_per_hour,
                      to_string(price.commitment), row.usd_per_hour, to_string(other)));
    }
  }

  const RiskInputs& in_;
  const OptionCosts& costs_;
  const OptionSpec* option_ = nullptr;
  std::vector<BriefRisk> risks_;
};

}  // namespace

std::vector<BriefRisk> risks_of(const RiskInputs& inputs, const OptionCosts& costs) {
  return RiskCollector(inputs, costs).collect();
}

bool breaks_a_limit(const std::vector<BriefRisk>& risks, std::string_view option) {
  return std::any_of(risks.begin(), risks.end(), [&](const BriefRisk& risk) {
    return risk.level == kLimit && std::find(risk.options.begin(), risk.options.end(), option) != risk.options.end();
  });
}

}  // namespace secondsource
