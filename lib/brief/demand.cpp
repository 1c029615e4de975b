#include "brief/demand.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/calendar.h"
#include "core/utf8.h"
#include "core/yaml.h"

namespace secondsource {
namespace {

constexpr NumberRange kPercent{.min = 0, .max = 100};
constexpr double kSumTolerance = 1e-6;

/// Like number(), but returns nullopt when the key is absent.
Result<std::optional<double>> optional_number(const YamlNode& node, std::string_view key, NumberRange range) {
  if (!node.has(key)) return std::optional<double>();
  SS_TRY(const double value, node.number(key, range));
  return std::optional<double>(value);
}

Result<std::string> text_of(const YamlNode& node, std::string_view key) {
  SS_TRY(std::string text, node.string(key));
  if (text.empty()) return node.fault(fmt::format("{}: expected a text, found none", key));
  return text;
}

// -- the served load

Result<DayProfile> parse_profile(const YamlNode& volume) {
  if (!volume.has("profile")) return flat_profile();
  SS_TRY(const std::vector<YamlNode> hours, volume.list("profile"));
  DayProfile profile{};
  SS_TRY(const YamlNode node, volume.at("profile"));
  if (hours.size() != profile.size()) return node.mismatch("24 numbers, the weight of each hour of the day");
  double sum = 0;
  for (std::size_t hour = 0; hour < profile.size(); ++hour) {
    SS_TRY(profile[hour], hours[hour].as_number({.min = 0, .max = 1e12}));
    sum += profile[hour];
  }
  if (!(sum > 0)) return node.mismatch("at least one hour with a weight above 0");
  for (double& share : profile) share /= sum;
  return profile;
}

Result<std::vector<RequestKind>> parse_context_mix(const YamlNode& root) {
  constexpr double kLongest = 1e7;
  SS_TRY(const std::vector<YamlNode> nodes, root.list("context_mix"));
  std::vector<RequestKind> kinds;
  double sum = 0;
  for (const YamlNode& node : nodes) {
    SS_TRY_VOID(node.expect_keys({"name", "percent", "input_tokens", "output_tokens"}));
    RequestKind kind;
    SS_TRY(kind.name, text_of(node, "name"));
    SS_TRY(kind.percent, node.number("percent", kPercent));
    SS_TRY(kind.input_tokens, node.number("input_tokens", {.min = 0, .max = kLongest}));
    SS_TRY(kind.output_tokens, node.number("output_tokens", {.min = 1, .max = kLongest}));
    sum += kind.percent;
    kinds.push_back(std::move(kind));
  }
  if (std::abs(sum - 100) > kSumTolerance) {
    SS_TRY(const YamlNode mix, root.at("context_mix"));
    return mix.fault(fmt::format("percent: expected a sum of 100, found {:g}", sum));
  }
  return kinds;
}

/// Requires the context mix, which converts tokens per day to requests per day.
Result<void> parse_volume(const YamlNode& root, Demand& demand) {
  constexpr NumberRange kVolume{.min = 1, .max = 1e15};
  SS_TRY(const YamlNode volume, root.at("volume"));
  SS_TRY_VOID(volume.expect_keys(
      {"requests_per_day", "output_tokens_per_day", "growth_percent_per_year", "batch_percent", "profile"}));
  if (volume.has("requests_per_day") == volume.has("output_tokens_per_day")) {
    return volume.fault("expected either requests_per_day or output_tokens_per_day");
  }
  if (volume.has("requests_per_day")) {
    SS_TRY(demand.requests_per_day, volume.number("requests_per_day", kVolume));
  } else {
    SS_TRY(const double tokens, volume.number("output_tokens_per_day", kVolume));
    demand.requests_per_day = tokens / demand.mean_output_tokens();
  }
  SS_TRY(demand.growth_percent_per_year, volume.number("growth_percent_per_year", {.min = -90, .max = 1000}));
  SS_TRY(demand.batch_percent, volume.number_or("batch_percent", 0, kPercent));
  SS_TRY(demand.profile, parse_profile(volume));
  return {};
}

Result<Slo> parse_slo(const YamlNode& root) {
  SS_TRY(const YamlNode node, root.at("slo"));
  SS_TRY_VOID(node.expect_keys({"preset", "ttft_ms", "tpot_ms", "percent"}));
  if (node.has("preset")) {
    if (node.has("ttft_ms") || node.has("tpot_ms") || node.has("percent")) {
      return node.fault("expected either a preset or limits of your own");
    }
    SS_TRY(const YamlNode preset, node.at("preset"));
    SS_TRY(const std::string name, preset.as_string());
    const std::optional<Slo> slo = slo_preset(name);
    if (!slo) return preset.mismatch("one of " + slo_preset_names());
    return *slo;
  }
  constexpr double kLongestMs = 3.6e6;
  Slo slo{.name = "your own"};
  SS_TRY(slo.ttft_ms, node.number("ttft_ms", {.min = 0.001, .max = kLongestMs}));
  SS_TRY(slo.tpot_ms, node.number("tpot_ms", {.min = 0.001, .max = kLongestMs}));
  SS_TRY(slo.percent, node.number("percent", {.min = 1, .max = 99.99}));
  return slo;
}

Result<void> parse_rules(const YamlNode& root, Demand& demand) {
  if (const auto weights = root.find("weights")) {
    SS_TRY_VOID(weights->expect_keys({"input", "output"}));
    SS_TRY(demand.weights.input, weights->number("input", {.min = 0, .max = 1000}));
    SS_TRY(demand.weights.output, weights->number("output", {.min = 0.001, .max = 1000}));
  }
  if (const auto sizing = root.find("sizing")) {
    SS_TRY_VOID(sizing->expect_keys({"headroom_percent", "minimum_replicas"}));
    SS_TRY(demand.sizing.headroom_percent, sizing->number_or("headroom_percent", 0, {.min = 0, .max = 1000}));
    SS_TRY(demand.sizing.minimum_replicas, sizing->integer_or("minimum_replicas", 1, 1, 1000));
  }
  SS_TRY(demand.decision_years, root.integer_or("decision_years", 3, 1, 3));
  if (demand.decision_years == 2) {
    SS_TRY(const YamlNode years, root.at("decision_years"));
    return years.mismatch("1 or 3");
  }
  return {};
}

// -- SKUs and options

Result<CommittedMachines> parse_committed(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"machines", "until"}));
  CommittedMachines committed;
  SS_TRY(committed.machines, node.integer("machines", 1, 10'000'000));
  SS_TRY(const YamlNode until, node.at("until"));
  SS_TRY(committed.until, until.as_string());
  if (!days_since_1970(committed.until)) return until.mismatch("a day as YYYY-MM-DD, the last one that is paid");
  return committed;
}

Result<SkuSpec> parse_sku(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys(
      {"id", "description", "vendor", "price", "machines_per_replica", "committed", "measured", "quoted"}));
  SkuSpec sku;
  SS_TRY(sku.id, text_of(node, "id"));
  SS_TRY(sku.description, text_of(node, "description"));
  SS_TRY(sku.vendor, text_of(node, "vendor"));
  SS_TRY(sku.price, text_of(node, "price"));
  SS_TRY(sku.machines_per_replica, node.integer_or("machines_per_replica", 1, 1, 1000));
  if (const auto committed = node.find("committed")) {
    SS_TRY(sku.committed, parse_committed(*committed));
  }
  const auto measured = node.find("measured");
  const auto quoted = node.find("quoted");
  if (measured.has_value() == quoted.has_value()) return node.fault("expected either measured or quoted");
  if (measured) {
    SS_TRY_VOID(measured->expect_keys({"run", "bundle", "backend", "variant", "hardware"}));
    sku.measured.emplace();
    SS_TRY(sku.measured->run, measured->string_or("run", ""));
    SS_TRY(sku.measured->bundle, text_of(*measured, "bundle"));
    SS_TRY(sku.measured->backend, text_of(*measured, "backend"));
    SS_TRY(sku.measured->variant, text_of(*measured, "variant"));
    SS_TRY(const YamlNode hardware, measured->at("hardware"));
    SS_TRY(const std::string kind, hardware.as_string());
    if (kind != "same" && kind != "similar") {
      return hardware.mismatch("same (the price is for the machine that was measured) or similar");
    }
    sku.measured->same_hardware = kind == "same";
    return sku;
  }
  SS_TRY_VOID(quoted->expect_keys({"full_load", "slo"}));
  sku.quoted.emplace();
  SS_TRY(sku.quoted->full_load, quoted->string_or("full_load", ""));
  SS_TRY(sku.quoted->slo, quoted->string_or("slo", ""));
  if (sku.quoted->full_load.empty() && sku.quoted->slo.empty()) return quoted->fault("expected full_load, slo or both");
  return sku;
}

Result<std::vector<SkuSpec>> parse_skus(const YamlNode& root) {
  SS_TRY(const std::vector<YamlNode> nodes, root.list("skus"));
  std::vector<SkuSpec> skus;
  std::set<std::string> ids;
  for (const YamlNode& node : nodes) {
    SS_TRY(SkuSpec sku, parse_sku(node));
    if (!ids.insert(sku.id).second) return node.fault(fmt::format("id {} is given twice", in_quotes(sku.id)));
    skus.push_back(std::move(sku));
  }
  return skus;
}

Result<Migration> parse_migration(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"person_days", "usd_per_day", "people", "certify_weeks", "ramp_weeks"}));
  Migration migration;
  SS_TRY(migration.person_days, node.number("person_days", {.min = 0, .max = 1e6}));
  SS_TRY(migration.usd_per_day, node.number("usd_per_day", {.min = 0, .max = 1e6}));
  SS_TRY(migration.people, node.integer("people", 1, 10000));
  SS_TRY(migration.certify_weeks, node.integer("certify_weeks", 0, 520));
  SS_TRY(migration.ramp_weeks, node.integer("ramp_weeks", 0, 520));
  return migration;
}

class OptionReader {
 public:
  OptionReader(const std::vector<SkuSpec>& skus, Migration usual) : skus_(skus), usual_(usual) {}

  Result<std::vector<OptionSpec>> read(const std::vector<YamlNode>& nodes, const YamlNode& root) {
    SS_TRY_VOID(read_stay(nodes, root));
    std::vector<OptionSpec> options = {stay_};
    std::set<std::string> names = {stay_.name};
    for (const YamlNode& node : nodes) {
      SS_TRY(const OptionKind kind, kind_of(node));
      if (kind == OptionKind::kStay) continue;
      SS_TRY(OptionSpec option, read_change(node, kind));
      if (!names.insert(option.name).second)
        return node.fault(fmt::format("name {} is given twice", in_quotes(option.name)));
      options.push_back(std::move(option));
    }
    return options;
  }

 private:
  Result<void> read_stay(const std::vector<YamlNode>& nodes, const YamlNode& root) {
    bool found = false;
    for (const YamlNode& node : nodes) {
      SS_TRY(const OptionKind kind, kind_of(node));
      if (kind != OptionKind::kStay) continue;
      if (found) return node.fault("expected one option of kind stay, found a second");
      found = true;
      SS_TRY_VOID(node.expect_keys({"kind", "name", "sku", "interactive", "batch"}));
      stay_.kind = kind;
      SS_TRY(stay_.name, node.string_or("name", "Stay"));
      if (node.has("sku")) {
        SS_TRY(const std::string sku, known_sku(node, "sku"));
        stay_.interactive = stay_.batch = {{sku, 100}};
      } else {
        SS_TRY(stay_.interactive, read_shares(node, "interactive"));
        SS_TRY(stay_.batch, read_shares(node, "batch"));
      }
    }
    if (!found) return root.fault("options: expected one of kind stay");
    return {};
  }

  Result<OptionSpec> read_change(const YamlNode& node, OptionKind kind) {
    OptionSpec option{.kind = kind, .interactive = stay_.interactive, .batch = stay_.batch, .migration = usual_};
    std::string usual_name;
    switch (kind) {
      case OptionKind::kShift: {
        SS_TRY_VOID(node.expect_keys({"kind", "name", "to", "percent", "migration"}));
        SS_TRY(const std::string to, known_sku(node, "to"));
        SS_TRY(const double percent, node.number("percent", {.min = 0.1, .max = 100}));
        option.interactive = shifted(stay_.interactive, to, percent);
        option.batch = shifted(stay_.batch, to, percent);
        usual_name = fmt::format("Shift {:g} % to {}", percent, vendor_of(to));
        break;
      }
      case OptionKind::kFallback: {
        SS_TRY_VOID(node.expect_keys({"kind", "name", "sku", "percent", "hours_per_year", "migration"}));
        SS_TRY(option.fallback, read_fallback(node));
        usual_name = "Add fallback on " + option.fallback->sku;
        break;
      }
      case OptionKind::kMoveBatch: {
        SS_TRY_VOID(node.expect_keys({"kind", "name", "to", "migration"}));
        SS_TRY(const std::string to, known_sku(node, "to"));
        option.batch = {{to, 100}};
        usual_name = "Move batch work to " + to;
        break;
      }
      default: {
        SS_TRY_VOID(node.expect_keys({"kind", "name", "interactive", "batch", "fallback", "migration"}));
        SS_TRY(usual_name, text_of(node, "name"));
        SS_TRY(option.interactive, read_shares(node, "interactive"));
        SS_TRY(option.batch, read_shares(node, "batch"));
        if (const auto fallback = node.find("fallback")) {
          SS_TRY_VOID(fallback->expect_keys({"sku", "percent", "hours_per_year"}));
          SS_TRY(option.fallback, read_fallback(*fallback));
        }
      }
    }
    SS_TRY(option.name, node.string_or("name", usual_name));
    if (const auto migration = node.find("migration")) {
      SS_TRY(option.migration, parse_migration(*migration));
    }
    return option;
  }

  static Result<OptionKind> kind_of(const YamlNode& node) {
    SS_TRY(const YamlNode kind, node.at("kind"));
    SS_TRY(const std::string text, kind.as_string());
    for (const OptionKind candidate :
         {OptionKind::kStay, OptionKind::kShift, OptionKind::kFallback, OptionKind::kMoveBatch, OptionKind::kOwn}) {
      if (text == to_string(candidate)) return candidate;
    }
    return kind.mismatch("stay, shift, fallback, move-batch or own");
  }

  [[nodiscard]] const SkuSpec* find_sku(const std::string& id) const {
    const auto found = std::find_if(skus_.begin(), skus_.end(), [&](const SkuSpec& sku) { return sku.id == id; });
    return found == skus_.end() ? nullptr : &*found;
  }
  [[nodiscard]] std::string vendor_of(const std::string& id) const { return find_sku(id)->vendor; }

  Result<std::string> known_sku(const YamlNode& node, std::string_view key) const {
    SS_TRY(const YamlNode value, node.at(key));
    SS_TRY(std::string id, value.as_string());
    if (find_sku(id) == nullptr) return value.mismatch("the id of one of the skus");
    return id;
  }

  Result<std::vector<Share>> read_shares(const YamlNode& node, std::string_view key) const {
    SS_TRY(const std::vector<YamlNode> nodes, node.list(key));
    std::vector<Share> shares;
    std::set<std::string> ids;
    double sum = 0;
    for (const YamlNode& one : nodes) {
      SS_TRY_VOID(one.expect_keys({"sku", "percent"}));
      Share share;
      SS_TRY(share.sku, known_sku(one, "sku"));
      SS_TRY(share.percent, one.number("percent", {.min = 0.1, .max = 100}));
      if (!ids.insert(share.sku).second) return one.fault(fmt::format("sku {} is given twice", in_quotes(share.sku)));
      sum += share.percent;
      shares.push_back(std::move(share));
    }
    if (std::abs(sum - 100) > kSumTolerance)
      return node.fault(fmt::format("{}: expected percents that sum to 100, found {:g}", key, sum));
    return shares;
  }

  Result<Fallback> read_fallback(const YamlNode& node) const {
    constexpr double kHoursPerYear = 8760;
    Fallback fallback;
    SS_TRY(fallback.sku, known_sku(node, "sku"));
    SS_TRY(fallback.percent, node.number("percent", {.min = 0.1, .max = 100}));
    SS_TRY(fallback.hours_per_year, optional_number(node, "hours_per_year", {.min = 0, .max = kHoursPerYear}));
    if (fallback.hours_per_year == 0.0) {
      SS_TRY(const YamlNode hours, node.at("hours_per_year"));
      return hours.mismatch("a number above 0 (left out, the fallback runs around the clock)");
    }
    return fallback;
  }

  /// Moves `percent` of the whole load to `to`; the rest keeps its proportions.
  static std::vector<Share> shifted(const std::vector<Share>& shares, const std::string& to, double percent) {
    std::vector<Share> result;
    bool is_there = false;
    for (Share share : shares) {
      share.percent *= 1 - percent / 100;
      if (share.sku == to) share.percent += percent;
      is_there |= share.sku == to;
      if (share.percent > 0) result.push_back(std::move(share));
    }
    if (!is_there) result.push_back({to, percent});
    return result;
  }

  const std::vector<SkuSpec>& skus_;
  Migration usual_;
  OptionSpec stay_;
};

// -- risk limits, API price and outage

Result<RiskLimits> parse_risk_limits(const YamlNode& root) {
  RiskLimits limits;
  const auto node = root.find("risk_limits");
  if (!node) return limits;
  SS_TRY_VOID(node->expect_keys({"max_single_vendor_percent", "max_spot_percent", "max_speed_uncertainty_percent",
                                 "min_memory_headroom_percent", "max_price_age_days", "require_passed_golden",
                                 "require_measured", "min_saving_percent"}));
  SS_TRY(limits.max_single_vendor_percent, optional_number(*node, "max_single_vendor_percent", kPercent));
  SS_TRY(limits.max_spot_percent, optional_number(*node, "max_spot_percent", kPercent));
  SS_TRY(limits.max_speed_uncertainty_percent, optional_number(*node, "max_speed_uncertainty_percent", kPercent));
  SS_TRY(limits.min_memory_headroom_percent, optional_number(*node, "min_memory_headroom_percent", kPercent));
  SS_TRY(limits.max_price_age_days, optional_number(*node, "max_price_age_days", {.min = 1, .max = 36500}));
  SS_TRY(limits.require_passed_golden, node->boolean_or("require_passed_golden", true));
  SS_TRY(limits.require_measured, node->boolean_or("require_measured", false));
  SS_TRY(limits.min_saving_percent, node->number_or("min_saving_percent", 0, kPercent));
  return limits;
}

Result<void> parse_alternatives(const YamlNode& root, Demand& demand) {
  if (const auto node = root.find("api")) {
    SS_TRY_VOID(node->expect_keys({"name", "usd_per_million_input", "usd_per_million_output", "source", "date"}));
    demand.api.emplace();
    SS_TRY(demand.api->name, text_of(*node, "name"));
    SS_TRY(demand.api->usd_per_million_input, node->number("usd_per_million_input", {.min = 0, .max = 1e5}));
    SS_TRY(demand.api->usd_per_million_output, node->number("usd_per_million_output", {.min = 0.0001, .max = 1e5}));
    SS_TRY(demand.api->source, text_of(*node, "source"));
    SS_TRY(const YamlNode date, node->at("date"));
    SS_TRY(demand.api->date, date.as_string());
    if (demand.api->date != "undated" && !is_day_month_quarter_or_year(demand.api->date))
      return date.mismatch("YYYY-MM-DD, YYYY-MM, YYYY-Qn, YYYY or undated");
  }
  if (const auto node = root.find("outage")) {
    SS_TRY_VOID(node->expect_keys({"hours_per_year", "usd_per_hour"}));
    demand.outage.emplace();
    SS_TRY(demand.outage->hours_per_year, node->number("hours_per_year", {.min = 0, .max = 8760}));
    SS_TRY(demand.outage->usd_per_hour, node->number("usd_per_hour", {.min = 0, .max = 1e9}));
  }
  return {};
}

Result<Demand> demand_of(const YamlNode& root) {
  SS_TRY_VOID(root.expect_keys({"version", "title", "model", "volume", "context_mix", "slo", "weights", "sizing",
                                "decision_years", "skus", "options", "migration", "risk_limits", "api", "outage"}));
  SS_TRY_VOID(root.integer("version", 1, 1));
  Demand demand;
  SS_TRY(demand.title, text_of(root, "title"));
  SS_TRY(demand.model, text_of(root, "model"));
  SS_TRY(demand.context_mix, parse_context_mix(root));
  SS_TRY_VOID(parse_volume(root, demand));
  SS_TRY(demand.slo, parse_slo(root));
  SS_TRY_VOID(parse_rules(root, demand));
  SS_TRY(demand.skus, parse_skus(root));
  if (const auto node = root.find("migration")) {
    SS_TRY(demand.usual_migration, parse_migration(*node));
  }
  SS_TRY(const std::vector<YamlNode> options, root.list("options"));
  SS_TRY(demand.options, OptionReader(demand.skus, demand.usual_migration.value_or(Migration())).read(options, root));
  SS_TRY(demand.limits, parse_risk_limits(root));
  SS_TRY_VOID(parse_alternatives(root, demand));
  return demand;
}

double mean_tokens(const std::vector<RequestKind>& kinds, double RequestKind::*tokens) {
  double sum = 0;
  for (const RequestKind& kind : kinds) sum += kind.percent / 100 * (kind.*tokens);
  return sum;
}

}  // namespace

std::int64_t Migration::work_weeks() const {
  constexpr double kWorkingDaysPerWeek = 5;
  const double weeks = person_days / static_cast<double>(people) / kWorkingDaysPerWeek;
  return static_cast<std::int64_t>(std::ceil(weeks - 1e-9));
}

double Demand::mean_input_tokens() const {
  return mean_tokens(context_mix, &RequestKind::input_tokens);
}

double Demand::mean_output_tokens() const {
  return mean_tokens(context_mix, &RequestKind::output_tokens);
}

Result<Demand> parse_demand(std::string_view yaml, std::string_view name) {
  SS_TRY(const YamlNode root, parse_yaml(yaml, name));
  return demand_of(root);
}

Result<Demand> read_demand(const std::filesystem::path& path) {
  SS_TRY(const YamlNode root, read_yaml_file(path));
  return demand_of(root);
}

}  // namespace secondsource
