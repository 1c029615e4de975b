#include "brief/build_brief.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "brief/brief_dates.h"
#include "brief/brief_text.h"
#include "brief/decision.h"
#include "brief/option_cost.h"
#include "brief/risks.h"
#include "brief/sku.h"
#include "brief/sku_evaluation.h"
#include "brief/timeline.h"
#include "brief/unasked.h"
#include "core/counted.h"
#include "core/nearest_word.h"
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
    add_costs(row);
    add_parts(row);
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

  void add_costs(BriefOption& row) const {
    row.usd_1_year = Figure::of(costs_.total_usd(option_, 1), "USD", evidence_);
    row.usd_3_years = Figure::of(costs_.total_usd(option_, 3), "USD", evidence_);
    const OptionCost cost = costs_.over_years(option_, years_, assume_as_known(skus_));
    const Interval total = costs_.total_usd(option_, years_);
    row.usd_per_1k_output =
        Figure::of(map_rising(total, [&](double usd) { return 1000 * usd / cost.output_tokens; }), "USD/1K", evidence_);
    row.migration_usd = Figure::stated(cost.migration_usd, "USD");
    row.outage_usd =
        demand_.outage ? Figure::stated(cost.outage_usd, "USD") : Figure::absent("USD", "no outage was stated");
  }

  void add_parts(BriefOption& row) const {
    const OptionCost cost = costs_.over_years(option_, years_, assume_as_known(skus_));
    const std::vector<std::size_t> costed = costs_.skus_costed(option_);
    for (const OptionPart& part : cost.parts) {
      const Sku& sku = skus_[part.sku];
      // How many machines are owed depends on the speed of the SKU only where it serves.
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
    std::vector<std::size_t> used = costs_.skus_of(option_);
    for (const std::size_t index : costs_.skus_of(demand_.stay())) {
      if (std::find(used.begin(), used.end(), index) == used.end()) used.push_back(index);
    }
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
    for (const std::size_t index : used) {
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

// -- buying tokens

BriefApi api_row(const Demand& demand, std::span<const Sku> skus, const OptionCosts& costs) {
  const ApiPrice& api = *demand.api;
  const double usd_per_day = demand.requests_per_day *
                             (demand.mean_input_tokens() * api.usd_per_million_input +
                              demand.mean_output_tokens() * api.usd_per_million_output) /
                             1e6;
  const auto over_years = [&](std::int64_t years) {
    double usd = 0;
    for (std::int64_t month = 0; month < 12 * years; ++month) {
      usd +=
          usd_per_day * 365 / 12 * std::pow(1 + demand.growth_percent_per_year / 100, static_cast<double>(month) / 12);
    }
    return usd;
  };
  const Evidence quoted{.quoted = true, .projected = true, .basis = {"api " + api.name}};
  BriefApi row{.name = api.name, .source = api.source, .date = api.date};
  row.usd_1_year = Figure::of({.value = over_years(1)}, "USD", quoted);
  row.usd_3_years = Figure::of({.value = over_years(3)}, "USD", quoted);
  if (const std::string why = costs.why_not(demand.stay()); !why.empty()) {
    row.first_requests_per_day = row.always_requests_per_day =
        Figure::absent("requests/day", "from no load that is known: staying cannot be costed: " + why);
    return row;
  }
  Assumed assumed = assume_as_known(skus);
  const auto own = [&](double volume) {
    assumed.volume = volume;
    return costs.usd_of_day(demand.stay(), assumed);
  };
  constexpr double kSmallest = 1e-4;
  const LoadBreakEven even = break_even_load(
      own, [&](double volume) { return volume * usd_per_day; }, kSmallest, 100);
  Evidence both = quoted;
  for (const std::size_t index : costs.skus_of(demand.stay())) both = both.combined(skus[index].at_slo.evidence);
  const auto figure = [&](const std::optional<double>& volume) {
    if (!volume) return Figure::absent("requests/day", "at no load up to 100 times yours");
    if (*volume <= kSmallest) return Figure::absent("requests/day", "at every load from a ten-thousandth of yours");
    return Figure::of({.value = *volume * demand.requests_per_day}, "requests/day", both);
  };
  row.first_requests_per_day = figure(even.first);
  row.always_requests_per_day = figure(even.always);
  // If own machines win at the smallest load that is searched and lose at a larger one, the load at which they begin to win
  // is below the range of the search.
  if (even.first && *even.first <= kSmallest && !(even.always && *even.always <= kSmallest))
    row.first_requests_per_day = Figure::absent("requests/day", "from a load below a ten-thousandth of yours on");
  return row;
}

// -- demand, assumptions and sources

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
  std::vector<std::string> always_paid;
  std::vector<std::string> owed_unstated;
  const auto add_new = [](std::vector<std::string>& ids, const std::string& id) {
    if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  };
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
  return lines;
}

BriefRunRecord run_record(const BriefRun& run) {
  const RunRecord& record = run.stored.record;
  BriefRunRecord row{.run_id = record.run_id,
                     .folder = run.shown_as,
                     .started_utc = record.started_utc,
                     .program_version = record.program_version,
                     .commit = record.commit,
                     .compiler = record.compiler,
                     .command = record.command,
                     .seed = record.seed,
                     .suite = record.suite,
                     .files = run.file_hashes};
  for (const HostFact& fact : record.host) {
    // The CPU flags are left out because they would fill a page; run.json has them.
    if (fact.value && fact.name != "cpu_flags") row.host.emplace_back(fact.name, *fact.value);
  }
  for (const BundleRecord& bundle : record.bundles) row.bundles.emplace_back(bundle.name, bundle.content_sha256);
  for (const BackendRecord& backend : record.backends) {
    row.backends.emplace_back(backend.name, backend.unavailable.empty()
                                                ? fmt::format("{}; {}", backend.device.name,
                                                              backend.is_foreign() ? identity_text(backend)
                                                                                   : "module " + backend.module_sha256)
                                                : "unavailable: " + backend.unavailable);
  }
  return row;
}

std::string limits_text(const std::optional<Slo>& slo) {
  return slo ? fmt::format(", {:g} % of requests within {:g} ms and {:g} ms a token", slo->percent, slo->ttft_ms,
                           slo->tpot_ms)
             : "";
}

void add_sources(const BriefInputs& inputs, std::span<const Sku> skus, Brief& brief) {
  for (const BriefRun& run : inputs.runs) brief.runs.push_back(run_record(run));
  std::set<std::string> quoted;
  std::set<std::string> prices;
  for (const Sku& sku : skus) {
    if (sku.spec.quoted) quoted.insert({sku.spec.quoted->full_load, sku.spec.quoted->slo});
    if (!prices.insert(sku.price.key()).second) continue;
    Figure usd = Figure::stated(sku.price.usd_per_hour, "USD/h",
                                sku.price.commitment == Commitment::kOwn ? "own cost" : "list price");
    brief.prices.push_back({sku.price.key(), std::move(usd), sku.price.source, sku.price.dated(),
                            age_days(sku.price, inputs.date), sku.price.note});
  }
  for (const QuotedRow& row : inputs.quoted) {
    if (!quoted.contains(row.id)) continue;
    brief.quotes.push_back(
        {row.id,
         fmt::format("{} {} on {} {}, {}: {} tok/s{}; {}", row.model, row.precision, row.accelerators, row.accelerator,
                     row.scenario, format_number(row.output_tok_per_s), limits_text(row.slo), row.submitter),
         row.source, row.date, row.note});
  }
  brief.inputs = inputs.files;
}

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
    SS_TRY(BriefOption row, OptionRow(demand, skus, costs, option).row(inputs.date));
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
