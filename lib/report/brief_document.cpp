#include "report/brief_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "brief/brief_text.h"
#include "report/chart/bars.h"

namespace secondsource {
namespace {

/// Returns "one year", "three years" or "N years".
std::string years_text(std::int64_t years) {
  return years == 1 ? "one year" : years == 3 ? "three years" : fmt::format("{} years", years);
}

/// The value, followed by its interval in parentheses.
std::string with_interval(const Figure& figure) {
  const std::string interval = format_interval(figure);
  return format_value(figure) + (interval.empty() ? "" : fmt::format(" ({})", interval));
}

std::string joined(const std::vector<std::string>& texts, std::string_view between) {
  return fmt::format("{}", fmt::join(texts, between));
}

class BriefPages {
 public:
  explicit BriefPages(const Brief& brief) : brief_(brief) {
    document_.title = "Procurement brief: " + brief.title;
    document_.lead = fmt::format("{}. Serving {}. The decision looks {} ahead.", brief.date, brief.model,
                                 years_text(brief.decision_years));
  }

  Document make() {
    add_decision();
    add_costs();
    add_risks();
    add_timeline();
    add_what_it_rests_on();
    add_demand();
    add_parts();
    add_sku_evaluation();
    add_turning_points();
    add_apis();
    add(Section{"assumptions", "What is taken to hold"});
    add(Bullets{brief_.assumptions});
    add_annex();
    return std::move(document_);
  }

 private:
  void add(Block block) { document_.blocks.push_back(std::move(block)); }

  // -- page one

  void add_decision() {
    const BriefDecision& decision = brief_.decision;
    add(Section{"decision", "Decision"});
    const Tone tone = decision.status == DecisionStatus::kDecided       ? Tone::kGood
                      : decision.status == DecisionStatus::kProvisional ? Tone::kUnsure
                                                                        : Tone::kBad;
    add(Callout{tone, (decision.status == DecisionStatus::kProvisional ? "Provisional: " : "") + decision.line});
    add(Bullets{decision.reasons});
  }

  [[nodiscard]] const Figure& saving(const BriefOption& option) const {
    return brief_.decision_years == 1 ? option.saving_percent_1_year : option.saving_percent_3_years;
  }

  void add_costs() {
    add(Section{"costs", "What it costs"});
    TextTable table;
    table.columns = {"Option",           "One year",
                     "Three years",      fmt::format("Saving, {}", years_text(brief_.decision_years)),
                     "1,000 tokens out", "Within your limits",
                     "Figures are"};
    table.right_aligned = {false, true, true, true, true, false, false};
    for (const BriefOption& option : brief_.options) {
      table.rows.push_back({option.name, with_interval(option.usd_1_year), with_interval(option.usd_3_years),
                            with_interval(saving(option)), format_value(option.usd_per_1k_output),
                            option.is_eligible ? "yes" : "no",
                            option.usd_3_years.mark.empty() ? "not available" : option.usd_3_years.mark});
    }
    for (const BriefApi& api : brief_.apis) {
      table.rows.push_back({"Buy tokens: " + api.name, format_value(api.usd_1_year), format_value(api.usd_3_years), "-",
                            "-", "-", api.usd_1_year.mark});
    }
    add(
        CaptionedTable{"Machines, migration and expected outages together; list prices of the dates in the annex. A "
                       "range is the 95 % interval.",
                       table});
    add_cost_charts();
    for (const BriefOption& option : brief_.options) {
      if (!option.not_costed.empty())
        add(Paragraph{fmt::format("{} is not costed: {}.", option.name, option.not_costed)});
    }
  }

  void add_cost_charts() {
    const auto usd_of = [&](const BriefOption& option) -> const Figure& {
      return brief_.decision_years == 1 ? option.usd_1_year : option.usd_3_years;
    };
    double largest = 0;
    for (const BriefOption& option : brief_.options) largest = std::max(largest, usd_of(option).value.value_or(0));
    const double scale = largest >= 1e6 ? 1e6 : largest >= 1e3 ? 1e3 : 1;
    const std::string unit = scale == 1e6 ? "million USD" : scale == 1e3 ? "thousand USD" : "USD";
    const auto scaled = [&](const std::optional<double>& usd) {
      return usd ? std::optional<double>(*usd / scale) : std::nullopt;
    };
    std::vector<Bar> options;
    for (const BriefOption& option : brief_.options) {
      const Figure& usd = usd_of(option);
      if (usd.value)
        options.push_back(
            {.label = option.name, .value = *usd.value / scale, .low = scaled(usd.low), .high = scaled(usd.high)});
    }
    std::vector<Bar> skus;
    for (const BriefSku& sku : brief_.skus) {
      const Figure& usd = sku.costs.back().usd_per_1k_output;
      const auto a_million = [](const std::optional<double>& usd_of_1k) {
        return usd_of_1k ? std::optional<double>(1000 * *usd_of_1k) : std::nullopt;
      };
      if (usd.value)
        skus.push_back(
            {.label = sku.id, .value = 1000 * *usd.value, .low = a_million(usd.low), .high = a_million(usd.high)});
    }
    add(Charts{{bar_chart("Cost over " + years_text(brief_.decision_years), unit, options),
                bar_chart("Tokens on each machine type, if it served all of your load", "USD for a million tokens out",
                          skus)}});
  }

  TextTable risk_table(bool notes) const {
    TextTable table;
    table.columns = {"Level", "Risk", "Options"};
    table.right_aligned = {false, false, false};
    for (const BriefRisk& risk : brief_.risks) {
      if ((risk.level == RiskLevel::kNote) != notes) continue;
      const bool all = risk.options.size() == brief_.options.size();
      const std::string word = risk.level == RiskLevel::kLimit     ? "Beyond your limit"
                               : risk.level == RiskLevel::kWarning ? "Warning"
                                                                   : "Note";
      table.rows.push_back({word, risk.text, all ? "all" : joined(risk.options, "; ")});
    }
    return table;
  }

  void add_risks() {
    add(Section{"risks", "Risks"});
    const TextTable table = risk_table(false);
    if (table.rows.empty()) {
      add(Paragraph{"The data shows none beyond the notes below."});
    } else {
      add(CaptionedTable{"From the data: what varied, failed, is unproven or is not measured.", table});
    }
  }

  void add_timeline() {
    add(Section{"timeline", "Timeline"});
    TextTable table;
    table.columns = {"Option", "Step", "From", "Until", "What"};
    table.right_aligned = {false, false, false, false, false};
    for (const BriefOption& option : brief_.options) {
      for (const BriefPhase& phase : option.timeline)
        table.rows.push_back({option.name, phase.name, phase.from, phase.until, phase.what});
    }
    add(CaptionedTable{fmt::format("If it is decided on {}.", brief_.date), table});
  }

  void add_what_it_rests_on() {
    add(Section{"evidence", "What it rests on"});
    std::vector<std::string> lines = {
        "measured: a run of the harness, with its tokens checked; the annex has its id and hashes.",
        "quoted: somebody else's published figure, with source and date; nobody here has seen it happen.",
        "derived: arithmetic on the above. projected: something was taken to hold that nobody measured, such as that "
        "prices and growth go on.",
        "Prices are list prices of their date unless they are your own. A token is a piece of text, about three "
        "quarters of an English word."};
    std::vector<std::string> quoted;
    std::vector<std::string> measured;
    for (const BriefSku& sku : brief_.skus) {
      const bool is_quoted =
          (sku.output_tok_per_s.mark + sku.output_tok_per_s_at_slo.mark).find("quoted") != std::string::npos;
      (is_quoted ? quoted : measured).push_back(sku.id);
    }
    if (!measured.empty()) lines.push_back("Speeds measured: " + joined(measured, ", ") + ".");
    if (!quoted.empty()) lines.push_back("Speeds quoted: " + joined(quoted, ", ") + ".");
    add(Bullets{lines});
  }

  // -- details

  void add_demand() {
    add(Section{"demand", "What was asked for"});
    add(Bullets{brief_.demand});
  }

  void add_parts() {
    add(Section{"options", "How each option is served"});
    TextTable table;
    table.columns = {"Option",     "Machine type", "Role", "Interactive",
                     "Batch",      "Most at once", "Idle", fmt::format("Cost, {}", years_text(brief_.decision_years)),
                     "Figures are"};
    table.right_aligned = {false, false, false, true, true, true, true, true, false};
    for (const BriefOption& option : brief_.options) {
      for (const BriefPart& part : option.parts) {
        table.rows.push_back({option.name, part.sku, std::string(to_string(part.role)),
                              format_percent(part.interactive_percent), format_percent(part.batch_percent),
                              format_value(part.peak_instances), format_value(part.idle_percent),
                              format_value(part.usd), part.usd.mark});
      }
    }
    add(
        CaptionedTable{"Most at once: the largest number of machines that is paid at one time. Idle: the share of what "
                       "is paid that the load does not need.",
                       table});
    TextTable once;
    once.columns = {"Option", "What", "Migration",
                    fmt::format("Expected outages, {}", years_text(brief_.decision_years)), "Saving"};
    once.right_aligned = {false, false, true, true, true};
    for (const BriefOption& option : brief_.options) {
      once.rows.push_back({option.name, option.what, format_value(option.migration_usd),
                           format_value(option.outage_usd), with_interval(option.saving_usd)});
    }
    add(CaptionedTable{"Migration and outages as stated by you.", once});
  }

  void add_sku_evaluation() {
    add(Section{"machines", "Machine types this quarter: buy or not"});
    TextTable verdicts;
    verdicts.columns = {"Machine type", "Verdict", "Saves at your load", "Why"};
    verdicts.right_aligned = {false, false, true, false};
    TextTable costs;
    costs.columns = {"Machine type",
                     "At",
                     "1,000 out",
                     "1,000 out, split",
                     "1,000 in, split",
                     "1,000 blended",
                     "Device-hours a million",
                     "Joules a token",
                     "Figures are"};
    costs.right_aligned = {false, false, true, true, true, true, true, true, false};
    TextTable speeds;
    speeds.columns = {"Machine type",     "What it is",          "Speed at full load",
                      "Speed at the SLO", "First token, median", "First token, 95 of 100",
                      "Memory free",      "Figures are"};
    speeds.right_aligned = {false, false, true, true, true, true, true, false};
    for (const BriefSku& sku : brief_.skus) {
      std::string why =
          sku.reasons.empty() ? fmt::format("serves {} {}", sku.model, sku.precision) : joined(sku.reasons, "; ");
      verdicts.rows.push_back(
          {sku.id, std::string(to_string(sku.verdict)), with_interval(sku.saving_percent), std::move(why)});
      for (const BriefCost& cost : sku.costs) {
        costs.rows.push_back({sku.id, cost.load, with_interval(cost.usd_per_1k_output),
                              format_value(cost.usd_per_1k_output_split), format_value(cost.usd_per_1k_input_split),
                              format_value(cost.usd_per_1k_blended), with_interval(cost.device_hours_per_million),
                              format_value(cost.joules_per_token),
                              cost.usd_per_1k_output.mark.empty() ? "not available" : cost.usd_per_1k_output.mark});
      }
      const std::string mark =
          sku.output_tok_per_s.value ? sku.output_tok_per_s.mark : sku.output_tok_per_s_at_slo.mark;
      speeds.rows.push_back({sku.id,
                             fmt::format("{}; {} {}; a replica is {:.3g} of such a machine", sku.description, sku.model,
                                         sku.precision, sku.units_per_replica, sku.instances_per_replica),
                             with_interval(sku.output_tok_per_s), with_interval(sku.output_tok_per_s_at_slo),
                             with_interval(sku.ttft_p50_ms), with_interval(sku.ttft_p95_ms),
                             format_value(sku.memory_headroom_percent), mark.empty() ? "not available" : mark});
    }
    add(CaptionedTable{"If it served all of your load, against the machine type that serves most of it today.",
                       verdicts});
    add(
        CaptionedTable{"What 1,000 tokens cost. Split: the cost of the hour divided between tokens in and out by the "
                       "weights below; blended: over both alike.",
                       costs});
    add(CaptionedTable{"Speeds are output tokens a second of one replica.", speeds});
    add_absences();
  }

  /// Explains the dashes in the tables: one line per machine type and reason.
  void add_absences() {
    std::vector<std::string> lines;
    for (const BriefSku& sku : brief_.skus) {
      const std::pair<const char*, const Figure*> figures[] = {
          {"speed at full load", &sku.output_tok_per_s},
          {"speed at the SLO", &sku.output_tok_per_s_at_slo},
          {"first token, median", &sku.ttft_p50_ms},
          {"first token, 95 of 100", &sku.ttft_p95_ms},
          {"memory free", &sku.memory_headroom_percent},
          {"joules a token", &sku.costs.front().joules_per_token},
          {"cost at your load", &sku.costs.back().usd_per_1k_output},
          {"saving", &sku.saving_percent}};
      std::map<std::string, std::vector<std::string>> whats_of;
      for (const auto& [what, figure] : figures) {
        if (!figure->value) whats_of[figure->why_not].push_back(what);
      }
      for (const auto& [why, whats] : whats_of) {
        lines.push_back(fmt::format("{}: {}: not available: {}.", sku.id, joined(whats, ", "), why));
      }
    }
    add(Bullets{lines});
  }

  void add_turning_points() {
    add(Section{"turning-points", "Where the answer turns"});
    TextTable prices;
    prices.columns = {"Option", "Machine type", "Price now", "Pays below", "Figures are"};
    prices.right_aligned = {false, false, true, true, false};
    TextTable loads;
    loads.columns = {"Option", "Costs no more than staying from", "Figures are"};
    loads.right_aligned = {false, true, false};
    TextTable swings;
    swings.columns = {"Option", "If this changes", "30 % lower", "30 % higher", "Figures are"};
    swings.right_aligned = {false, false, true, true, false};
    for (const BriefOption& option : brief_.options) {
      for (const BriefBreakEven& price : option.break_even_prices) {
        prices.rows.push_back(
            {option.name, price.sku, format_value(price.usd_per_hour_now),
             price.usd_per_hour.value ? format_value(price.usd_per_hour) : "never: " + price.usd_per_hour.why_not,
             price.usd_per_hour.mark});
      }
      const Figure& load = option.break_even_requests_per_day;
      if (option.kind != OptionKind::kStay)
        loads.rows.push_back({option.name, load.value ? format_value(load) : load.why_not, load.mark});
      for (const BriefSensitivity& swing : option.sensitivities) {
        swings.rows.push_back({option.name, swing.what, format_value(swing.saving_percent_if_lower),
                               format_value(swing.saving_percent_if_higher), swing.saving_percent_if_lower.mark});
      }
    }
    if (prices.rows.empty() && loads.rows.empty() && swings.rows.empty()) {
      add(Paragraph{"There is nothing to compare staying with."});
      return;
    }
    if (!prices.rows.empty())
      add(CaptionedTable{"Price of an hour of one machine at which the option costs what staying costs.", prices});
    if (!loads.rows.empty()) add(CaptionedTable{"Load from which the option stays no dearer than staying.", loads});
    if (!swings.rows.empty())
      add(CaptionedTable{fmt::format("Saving over {} if one thing is 30 % lower or higher and all else stays.",
                                     years_text(brief_.decision_years)),
                         swings});
  }

  void add_apis() {
    for (const BriefApi& api : brief_.apis) {
      add(Section{"api", "Buying tokens instead of machines"});
      add(Paragraph{fmt::format("{} ({}, {}): {} in one year, {} in three ({}).", api.name, api.source, api.date,
                                format_value(api.usd_1_year), format_value(api.usd_3_years), api.usd_1_year.mark)});
      const Figure& first = api.first_requests_per_day;
      const Figure& always = api.always_requests_per_day;
      add(Paragraph{fmt::format(
          "Your machines of today cost no more than it from {} on; from {} on that holds for every larger load ({}).",
          first.value ? format_value(first) : "no load looked at",
          always.value ? format_value(always) : "no load looked at", first.value ? first.mark : first.why_not)});
    }
  }

  // -- annex

  void add_annex() {
    add(Section{"annex", "Annex"});
    const TextTable notes = risk_table(true);
    if (!notes.rows.empty()) {
      add(Subheading{"Notes on the data"});
      add(CaptionedTable{"What a reader may want to know beside the risks.", notes});
    }
    for (const BriefRunRecord& run : brief_.runs) add_run(run);
    if (!brief_.quotes.empty()) {
      add(Subheading{"Quoted speeds"});
      TextTable table;
      table.columns = {"Id", "What", "Source", "Date"};
      table.right_aligned = {false, false, false, false};
      for (const BriefQuote& quote : brief_.quotes) {
        table.rows.push_back(
            {quote.id, quote.note.empty() ? quote.what : quote.what + "; " + quote.note, quote.source, quote.date});
      }
      add(CaptionedTable{"Somebody else's figures that this brief uses.", table});
    }
    add(Subheading{"Prices"});
    TextTable prices;
    prices.columns = {"Key", "Machine", "Kind", "Source", "Date"};
    prices.right_aligned = {false, true, false, false, false};
    for (const BriefPrice& price : brief_.prices) {
      prices.rows.push_back({price.key, format_value(price.usd_per_hour), price.usd_per_hour.mark,
                             price.note.empty() ? price.source : price.source + "; " + price.note, price.date});
    }
    add(CaptionedTable{"Prices that this brief uses.", prices});
    add(Subheading{"Input files"});
    TextTable inputs;
    inputs.columns = {"File", "SHA-256"};
    inputs.right_aligned = {false, false};
    for (const auto& [file, hash] : brief_.inputs) inputs.rows.push_back({file, hash});
    add(CaptionedTable{"What this brief was made from, beside the runs.", inputs});
    add(Subheading{"To make this brief again"});
    add(Command{brief_.command});
    add(
        Paragraph{"Every figure with what it rests on, by run, quoted row and price, is in brief.json. The formulas "
                  "are in docs/cost.md."});
  }

  void add_run(const BriefRunRecord& run) {
    add(Subheading{"Run " + run.run_id});
    TextTable table;
    table.columns = {"What", "As recorded"};
    table.right_aligned = {false, false};
    table.rows = {{"folder", run.folder},
                  {"begun", run.started_utc},
                  {"program", fmt::format("secondsource {} ({}), {}", run.program_version, run.commit, run.compiler)},
                  {"command", joined(run.command, " ")},
                  {"suite, seed", fmt::format("{}, {}", run.suite, run.seed)}};
    const auto add_pairs = [&](const std::string& what, const std::vector<std::pair<std::string, std::string>>& pairs) {
      for (const auto& [name, value] : pairs) table.rows.push_back({fmt::format("{} {}", what, name), value});
    };
    add_pairs("bundle", run.bundles);
    add_pairs("backend", run.backends);
    add_pairs("SHA-256 of", run.files);
    add_pairs("host", run.host);
    add(CaptionedTable{"What was run, where and with what.", table});
  }

  const Brief& brief_;
  Document document_;
};

}  // namespace

Document brief_document(const Brief& brief) {
  return BriefPages(brief).make();
}

}  // namespace secondsource
