#include "report/brief_document.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "brief/brief_text.h"
#include "core/calendar.h"
#include "core/counted.h"
#include "core/shell_text.h"
#include "report/chart/bars.h"
#include "report/page.h"

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

/// True if the price has no age: its source gives no date, and only the day on which it was read is known.
bool is_undated(const BriefPrice& price) {
  return price.date.starts_with("undated");
}

std::string days_text(std::int64_t days) {
  return counted(days, "day");
}

/// Describes a replica, and the system from which its speed was scaled.
std::string replica_text(const BriefSku& sku) {
  std::string text = sku.instances_per_replica == 1 ? fmt::format("one machine of {:g} devices", sku.units_per_replica)
                                                    : fmt::format("{:g} machines with {:g} devices",
                                                                  sku.instances_per_replica, sku.units_per_replica);
  if (sku.rated_units != sku.units_per_replica) text += fmt::format(", its speed scaled from {:g}", sku.rated_units);
  return text;
}

/// Converts the cost of 1,000 tokens to that of a million.
Figure a_million(Figure usd_per_1k) {
  for (std::optional<double>* usd : {&usd_per_1k.value, &usd_per_1k.low, &usd_per_1k.high}) {
    if (*usd) **usd *= 1000;
  }
  usd_per_1k.unit = "USD";
  return usd_per_1k;
}

std::string joined(const std::vector<std::string>& texts, std::string_view between) {
  return fmt::format("{}", fmt::join(texts, between));
}

/// What holds above the first load at which today's machines cost no more than buying tokens.
std::string larger_loads_text(const BriefApi& api) {
  const Figure& first = api.first_requests_per_day;
  const Figure& always = api.always_requests_per_day;
  if (!first.value && first.why_not == always.why_not) return "";  // it is said of all loads
  if (!always.value) return ", but not for every larger load that was looked at";
  if (first.value == always.value) return ", and for every larger load";
  return fmt::format(", and for every larger load from about {} on", format_value(always));
}

constexpr std::string_view kNoFigure = "not available";  ///< in place of a mark, in a row without figures

std::string mark_of(const Figure& figure) {
  return figure.mark.empty() ? std::string(kNoFigure) : figure.mark;
}

class BriefPages {
 public:
  explicit BriefPages(const Brief& brief) : brief_(brief) {
    document_.title = "Procurement brief: " + brief.title;
    document_.lead = fmt::format("{}. For serving {}. The costs are compared over the next {}.", brief.date,
                                 brief.model, years_text(brief.decision_years));
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

  /// Adds a table of sentences, which are the brief's own and therefore not cut like other cells.
  void add_table(std::string caption, TextTable table) {
    table.longest_cell = kLongText;
    add(CaptionedTable{std::move(caption), std::move(table)});
  }

  /// Adds a table whose last column states the evidence of its figures. If it is the same in every row, the caption
  /// states it once instead; if no row has a figure, there is no evidence to state.
  void add_marked(std::string caption, TextTable table) {
    const auto is_as_first = [&](const std::vector<std::string>& row) { return row.back() == table.rows[0].back(); };
    if (!table.rows.empty() && std::all_of(table.rows.begin(), table.rows.end(), is_as_first)) {
      const std::string mark = table.rows[0].back();
      if (!mark.empty())
        caption += mark == kNoFigure ? " None of the figures is available." : fmt::format(" All figures are {}.", mark);
      table.columns.pop_back();
      table.right_aligned.pop_back();
      for (std::vector<std::string>& row : table.rows) row.pop_back();
    }
    add_table(std::move(caption), std::move(table));
  }

  // -- page one

  void add_decision() {
    const BriefDecision& decision = brief_.decision;
    add(Section{"decision", "Decision"});
    const Tone tone = decision.status == DecisionStatus::kDecided       ? Tone::kGood
                      : decision.status == DecisionStatus::kProvisional ? Tone::kUnsure
                                                                        : Tone::kBad;
    add(Callout{tone, decision_headline(decision)});
    add(Bullets{decision.reasons});
  }

  [[nodiscard]] const Figure& saving(const BriefOption& option) const {
    return brief_.decision_years == 1 ? option.saving_percent_1_year : option.saving_percent_3_years;
  }

  /// "12 to 40 days", the ages of the prices whose source gives a date, or of those whose source gives none; empty if
  /// there are none of them.
  [[nodiscard]] std::string ages_of(bool undated) const {
    std::vector<std::int64_t> ages;
    for (const BriefPrice& price : brief_.prices) {
      if (is_undated(price) == undated) ages.push_back(price.age_days);
    }
    if (ages.empty()) return "";
    const auto [youngest, oldest] = std::minmax_element(ages.begin(), ages.end());
    return *youngest == *oldest ? days_text(*oldest) : fmt::format("{} to {}", *youngest, days_text(*oldest));
  }

  /// For example "Prices are 12 to 40 days old."
  [[nodiscard]] std::string price_ages() const {
    const std::string dated = ages_of(false);
    const std::string undated = ages_of(true);
    if (undated.empty()) return dated.empty() ? "" : fmt::format("Prices are {} old.", dated);
    if (dated.empty()) return fmt::format("Prices were read {} ago; their source gives no date.", undated);
    return fmt::format("Prices are {} old; those whose source gives no date were read {} ago.", dated, undated);
  }

  void add_costs() {
    add(Section{"costs", "What it costs"});
    TextTable table;
    table.columns = {"Option",
                     fmt::format("Saving, {}", years_text(brief_.decision_years)),
                     "One year",
                     "Three years",
                     "A million tokens out",
                     "Within your limits",
                     "Figures are"};
    table.right_aligned = {false, true, true, true, true, false, false};
    for (const BriefOption& option : brief_.options) {
      table.rows.push_back({option.name, with_interval(saving(option)), with_interval(option.usd_1_year),
                            with_interval(option.usd_3_years), format_value(a_million(option.usd_per_1k_output)),
                            option.is_eligible ? "yes" : "no", mark_of(option.usd_3_years)});
    }
    for (const BriefApi& api : brief_.apis) {
      table.rows.push_back({"Buy tokens: " + api.name, "-", format_value(api.usd_1_year), format_value(api.usd_3_years),
                            "-", "-", api.usd_1_year.mark});
    }
    add_marked(
        fmt::format("Machines, migration and expected outages together; until an option's load has moved, today's "
                    "machines serve. {} A range is the 95 % interval.",
                    price_ages()),
        table);
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

  /// The machine type with which a risk's text begins; empty if it begins with none.
  [[nodiscard]] std::string subject_of(const BriefRisk& risk) const {
    for (const BriefSku& sku : brief_.skus) {
      if (risk.text.starts_with(sku.id + ": ")) return sku.id;
    }
    return "";
  }

  /// A table with one row for each text; a row names all machine types to which its text applies.
  [[nodiscard]] TextTable risk_table(bool notes) const {
    struct Row {
      RiskLevel level;
      std::string text;
      std::vector<std::string> subjects;
      std::vector<std::string> options;
    };
    const auto add_new = [](std::vector<std::string>& list, const std::string& one) {
      if (!one.empty() && std::find(list.begin(), list.end(), one) == list.end()) list.push_back(one);
    };
    std::vector<Row> rows;
    for (const BriefRisk& risk : brief_.risks) {
      if ((risk.level == RiskLevel::kNote) != notes) continue;
      const std::string subject = subject_of(risk);
      const std::string text = subject.empty() ? risk.text : risk.text.substr(subject.size() + 2);
      auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& one) {
        return one.level == risk.level && one.text == text && one.subjects.empty() == subject.empty();
      });
      if (row == rows.end()) row = rows.insert(rows.end(), {risk.level, text, {}, {}});
      add_new(row->subjects, subject);
      for (const std::string& option : risk.options) add_new(row->options, option);
    }
    TextTable table;
    table.columns = {"Level", "Risk", "Options"};
    table.right_aligned = {false, false, false};
    for (const Row& row : rows) {
      const std::string word = row.level == RiskLevel::kLimit     ? "Beyond your limit"
                               : row.level == RiskLevel::kWarning ? "Warning"
                                                                  : "Note";
      table.rows.push_back({word, (row.subjects.empty() ? "" : joined(row.subjects, ", ") + ": ") + row.text,
                            row.options.size() == brief_.options.size() ? "all" : joined(row.options, "; ")});
    }
    return table;
  }

  void add_risks() {
    add(Section{"risks", "Risks"});
    const TextTable table = risk_table(false);
    if (table.rows.empty()) {
      add(Paragraph{"The data shows none beyond the notes below."});
    } else {
      add_table(
          "What the data shows: figures that varied, failed or are unproven, and what was not "
          "measured.",
          table);
    }
  }

  void add_timeline() {
    add(Section{"timeline", "Timeline"});
    TextTable table;
    table.columns = {"Option"};
    for (const BriefOption& option : brief_.options) {
      for (const BriefPhase& phase : option.timeline) {
        if (std::find(table.columns.begin(), table.columns.end(), phase.name) == table.columns.end())
          table.columns.push_back(phase.name);
      }
    }
    // Staying has only the review, which is the last step of every option.
    std::rotate(table.columns.begin() + 1, table.columns.begin() + 2, table.columns.end());
    table.right_aligned.assign(table.columns.size(), false);
    std::vector<std::string> meanings;
    for (const BriefOption& option : brief_.options) {
      std::vector<std::string> row(table.columns.size(), "-");
      row[0] = option.name;
      for (const BriefPhase& phase : option.timeline) {
        const auto column = std::find(table.columns.begin(), table.columns.end(), phase.name) - table.columns.begin();
        row[column] = phase.until.empty() ? phase.from : fmt::format("{} to {}", phase.from, phase.until);
        if (phase.name == "Migrate") {
          row[column] += ": " + phase.what;
        } else if (option.kind != OptionKind::kStay || phase.name != "Look again") {
          const std::string meaning = fmt::format("{}: {}.", phase.name, phase.what);
          if (std::find(meanings.begin(), meanings.end(), meaning) == meanings.end()) meanings.push_back(meaning);
        }
      }
      table.rows.push_back(std::move(row));
    }
    add_table(fmt::format("If the decision is made on {}.", brief_.date), table);
    add(Bullets{meanings});
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
    add_marked(
        "Most at once: the largest number of machines that is paid at one time. Idle: the share of what is paid that the "
        "load does not need.",
        table);
    TextTable once;
    once.columns = {"Option", "What", "Migration",
                    fmt::format("Expected outages, {}", years_text(brief_.decision_years)), "Saving"};
    once.right_aligned = {false, false, true, true, true};
    for (const BriefOption& option : brief_.options) {
      once.rows.push_back({option.name, option.what, format_value(option.migration_usd),
                           format_value(option.outage_usd), with_interval(option.saving_usd)});
    }
    add_table("Migration and outages as stated by you.", once);
  }

  void add_sku_evaluation() {
    add(Section{"machines", "Machine types this quarter: buy or not"});
    TextTable verdicts;
    verdicts.columns = {"Machine type", "Verdict", "Alone saves", "Best option with it", "Saves", "Why"};
    verdicts.right_aligned = {false, false, true, false, true, false};
    TextTable costs;
    costs.columns = {"Machine type",         "At",
                     "A million out",        "1,000 out",
                     "A million out, split", "A million in, split",
                     "A million, blended",   "Device-hours a million",
                     "Joules a token",       "Figures are"};
    costs.right_aligned = {false, false, true, true, true, true, true, true, true, false};
    TextTable speeds;
    speeds.columns = {"Machine type",           "Speed at full load", "Speed at the SLO", "First token, median",
                      "First token, 95 of 100", "Memory free",        "Figures are"};
    speeds.right_aligned = {false, true, true, true, true, true, false};
    TextTable machines;
    machines.columns = {"Machine type", "What it is", "Serves", "Replica"};
    machines.right_aligned = {false, false, false, false};
    for (const BriefSku& sku : brief_.skus) {
      std::string why =
          sku.reasons.empty() ? fmt::format("serves {} {}", sku.model, sku.precision) : joined(sku.reasons, "; ");
      verdicts.rows.push_back({sku.id, std::string(to_string(sku.verdict)), with_interval(sku.saving_percent),
                               sku.best_option.empty() ? "-" : sku.best_option,
                               with_interval(sku.best_option_saving_percent), std::move(why)});
      for (const BriefCost& cost : sku.costs) {
        costs.rows.push_back(
            {sku.id, cost.load, with_interval(a_million(cost.usd_per_1k_output)), format_value(cost.usd_per_1k_output),
             format_value(a_million(cost.usd_per_1k_output_split)),
             format_value(a_million(cost.usd_per_1k_input_split)), format_value(a_million(cost.usd_per_1k_blended)),
             with_interval(cost.device_hours_per_million), format_value(cost.joules_per_token),
             mark_of(cost.usd_per_1k_output)});
      }
      machines.rows.push_back(
          {sku.id, sku.description, fmt::format("{} {}", sku.model, sku.precision), replica_text(sku)});
      speeds.rows.push_back({sku.id, with_interval(sku.output_tok_per_s), with_interval(sku.output_tok_per_s_at_slo),
                             with_interval(sku.ttft_p50_ms), with_interval(sku.ttft_p95_ms),
                             format_value(sku.memory_headroom_percent),
                             mark_of(sku.output_tok_per_s.value ? sku.output_tok_per_s : sku.output_tok_per_s_at_slo)});
    }
    add_table(
        "Alone: if it served all of your load as it is today, against the machine type that serves most "
        "of it. The option: with migration and growth, against staying. Buy: the decision is final and "
        "uses it.",
        verdicts);
    add_marked(
        "What tokens cost. Split: the cost of the hour divided between tokens in and out by the weights below; blended: "
        "over both alike.",
        costs);
    add_marked("Speeds are output tokens a second of one replica.", speeds);
    add_table(
        "A replica is one machine, or several that serve only together. Devices are accelerators, or vCPUs where "
        "a machine has no accelerators.",
        machines);
    add_absences();
  }

  /// Explains the dashes in the tables: one line for each reason, with the machine types that it holds for.
  void add_absences() {
    std::vector<std::pair<std::string, std::vector<std::string>>> skus_of;  // in the order in which they are found
    for (const BriefSku& sku : brief_.skus) {
      const std::pair<const char*, const Figure*> figures[] = {
          {"speed at full load", &sku.output_tok_per_s},
          {"speed at the SLO", &sku.output_tok_per_s_at_slo},
          {"first token, median", &sku.ttft_p50_ms},
          {"first token, 95 of 100", &sku.ttft_p95_ms},
          {"memory free", &sku.memory_headroom_percent},
          {"joules a token", &sku.costs.front().joules_per_token},
          {"cost at your load", &sku.costs.back().usd_per_1k_output},
          {"saving alone", &sku.saving_percent}};
      std::map<std::string, std::vector<std::string>> whats_of;
      for (const auto& [what, figure] : figures) {
        if (!figure->value) whats_of[figure->why_not].push_back(what);
      }
      for (const auto& [why, whats] : whats_of) {
        const std::string line = fmt::format("{}: not available: {}.", joined(whats, ", "), why);
        auto known = std::find_if(skus_of.begin(), skus_of.end(), [&](const auto& one) { return one.first == line; });
        if (known == skus_of.end()) known = skus_of.insert(skus_of.end(), {line, {}});
        known->second.push_back(sku.id);
      }
    }
    std::vector<std::string> lines;
    for (const auto& [line, skus] : skus_of) lines.push_back(fmt::format("{}: {}", joined(skus, ", "), line));
    add(Bullets{lines});
  }

  void add_turning_points() {
    add(Section{"turning-points", "Where the answer turns"});
    TextTable prices;
    prices.columns = {"Option", "Machine type", "Price now", "Pays below", "Figures are"};
    prices.right_aligned = {false, false, true, true, false};
    TextTable loads;
    loads.columns = {"Option", "Costs no more than staying from about", "Figures are"};
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
      add_marked("Price of an hour of one machine at which the option costs what staying costs.", prices);
    if (!loads.rows.empty())
      add_marked(
          "Load from which on the option costs no more than staying. Machines come in whole numbers: a little above it, "
          "there may be loads that were not looked at, for which it costs more.",
          loads);
    if (!swings.rows.empty())
      add_marked(fmt::format("Saving over {} if one thing is 30 % lower or higher and all else stays.",
                             years_text(brief_.decision_years)),
                 swings);
  }

  void add_apis() {
    for (const BriefApi& api : brief_.apis) {
      add(Section{"api", "Buying tokens instead of machines"});
      const std::string age = api.date == "undated"
                                  ? ""
                                  : fmt::format(", {} old", days_text(*days_since_1970(brief_.date) -
                                                                      *days_since_1970(first_day_of(api.date))));
      add(Paragraph{fmt::format("{} ({}, {}{}): {} in one year, {} in three ({}).", api.name, api.source, api.date, age,
                                format_value(api.usd_1_year), format_value(api.usd_3_years), api.usd_1_year.mark)});
      const Figure& first = api.first_requests_per_day;
      const std::string& mark = first.value ? first.mark : api.always_requests_per_day.mark;
      add(Paragraph{fmt::format("Your machines of today cost no more than buying tokens {}{}{}.",
                                first.value ? fmt::format("from about {} on", format_value(first)) : first.why_not,
                                larger_loads_text(api), mark.empty() ? "" : fmt::format(" ({})", mark))});
    }
  }

  // -- annex

  void add_annex() {
    add(Section{"annex", "Annex"});
    const TextTable notes = risk_table(true);
    if (!notes.rows.empty()) {
      add(Subheading{"Notes on the data"});
      add_table("What a reader may want to know beside the risks.", notes);
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
      add_table("Somebody else's figures that this brief uses.", table);
    }
    add(Subheading{"Prices"});
    TextTable prices;
    prices.columns = {"Key", "Machine", "Kind", "Source", "Date", "Age"};
    prices.right_aligned = {false, true, false, false, false, true};
    for (const BriefPrice& price : brief_.prices) {
      prices.rows.push_back(
          {price.key, format_value(price.usd_per_hour), price.usd_per_hour.mark,
           price.note.empty() ? price.source : price.source + "; " + price.note, price.date,
           is_undated(price) ? fmt::format("read {} ago", days_text(price.age_days)) : days_text(price.age_days)});
    }
    add_table("Prices that this brief uses. Of an undated one only the day on which it was read is known.", prices);
    add(Subheading{"Input files"});
    TextTable inputs;
    inputs.columns = {"File", "SHA-256"};
    inputs.right_aligned = {false, false};
    for (const auto& [file, hash] : brief_.inputs) inputs.rows.push_back({file, hash});
    add_table("What this brief was made from, beside the runs.", inputs);
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
                  {"suite, seed", fmt::format("{}, {}", run.suite, run.seed)}};
    const auto add_pairs = [&](const std::string& what, const std::vector<std::pair<std::string, std::string>>& pairs) {
      for (const auto& [name, value] : pairs) table.rows.push_back({fmt::format("{} {}", what, name), value});
    };
    add_pairs("bundle", run.bundles);
    add_pairs("backend", run.backends);
    add_pairs("SHA-256 of", run.files);
    add_pairs("host", run.host);
    add_table("What was run, where and with what. It was begun by the command below.", std::move(table));
    add(Command{shell_command(run.command)});
  }

  const Brief& brief_;
  Document document_;
};

}  // namespace

Document brief_document(const Brief& brief) {
  return BriefPages(brief).make();
}

}  // namespace secondsource
