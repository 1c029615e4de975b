#include "cost/price_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/ascii.h"
#include "core/calendar.h"
#include "core/number.h"
#include "core/utf8.h"
#include "core/yaml.h"

namespace secondsource {
namespace {

constexpr std::array<std::string_view, 5> kCommitments = {"on-demand", "spot", "1-year", "3-years", "own"};
constexpr std::string_view kUndated = "undated";

/// True for the texts that people leave in a table that they mean to fill in later.
bool is_placeholder(std::string_view text) {
  const std::string lower = ascii_lower(text);
  constexpr std::array<std::string_view, 15> kPlaceholders = {
      "", "-", "--", "?", "??", "...", "n/a", "na", "none", "unknown", "tbd", "todo", "xxx", "example", "fixme"};
  return lower.find_first_not_of(' ') == std::string::npos ||
         std::find(kPlaceholders.begin(), kPlaceholders.end(), lower) != kPlaceholders.end();
}

/// True for 99, 999, 9999.99, ..., which are placeholders and not list prices.
bool is_all_nines(double usd) {
  const std::string digits = fmt::format("{}", usd);
  return usd >= 99 && digits.find_first_not_of("9.") == std::string::npos;
}

Result<std::string> real_text(const YamlNode& row, std::string_view key) {
  SS_TRY(const YamlNode node, row.at(key));
  SS_TRY(std::string text, node.as_string());
  if (is_placeholder(text)) return node.mismatch("a real value");
  return text;
}

/// Reads a text that becomes part of a row's key.
Result<std::string> key_text(const YamlNode& row, std::string_view key) {
  SS_TRY(std::string text, real_text(row, key));
  if (text.find_first_of("/ \t\n") != std::string::npos) {
    SS_TRY(const YamlNode node, row.at(key));
    return node.mismatch("a name without spaces and slashes");
  }
  return text;
}

Result<double> price_of(const YamlNode& row, std::string_view key) {
  SS_TRY(const YamlNode node, row.at(key));
  SS_TRY(const double usd, node.as_number());
  if (!(usd > 0)) return node.mismatch("a price above 0");
  if (is_all_nines(usd)) return node.mismatch("a real price");
  return usd;
}

Result<std::optional<double>> price_or_none(const YamlNode& row, std::string_view key) {
  if (!row.has(key)) return std::optional<double>();
  SS_TRY(const double usd, price_of(row, key));
  return std::optional<double>(usd);
}

/// A row with several accelerators must state both prices, because one alone is easily mistaken for the other.
Result<void> check_price_of_one(const YamlNode& node, const PriceRow& row) {
  if (row.accelerators <= 1 && !node.has("usd_per_accelerator_hour")) return {};
  if (row.accelerators == 0) return node.fault("usd_per_accelerator_hour: expected none for a machine without");
  SS_TRY(const double usd_of_one, price_of(node, "usd_per_accelerator_hour"));
  const double expected = row.usd_per_hour / static_cast<double>(row.accelerators);
  constexpr double kRounding = 0.005;
  if (std::abs(usd_of_one - expected) <= kRounding * expected) return {};
  return node.fault(
      fmt::format("usd_per_accelerator_hour: expected {:g} (usd_per_hour / accelerators: {:g} / {}), found {:g}",
                  expected, row.usd_per_hour, row.accelerators, usd_of_one));
}

Result<void> read_machine(const YamlNode& node, PriceRow& row) {
  SS_TRY(row.provider, key_text(node, "provider"));
  SS_TRY(row.region, key_text(node, "region"));
  SS_TRY(row.instance, key_text(node, "instance"));
  SS_TRY(row.accelerator, key_text(node, "accelerator"));
  constexpr std::int64_t kMostUnits = 1'000'000;
  SS_TRY(row.accelerators, node.integer_or("accelerators", 0, 0, kMostUnits));
  SS_TRY(row.vcpus, node.integer_or("vcpus", 0, 1, kMostUnits));
  if ((row.accelerator == "cpu") != (row.accelerators == 0)) {
    return node.fault("accelerators: expected a count of at least 1, and none where accelerator is cpu");
  }
  if (row.n_units() == 0) return node.fault("vcpus: expected their number for a machine without accelerators");
  SS_TRY(row.note, node.string_or("note", ""));
  SS_TRY(row.source, real_text(node, "source"));
  SS_TRY(const YamlNode date, node.at("date"));
  SS_TRY(row.date, date.as_string());
  if (row.date != kUndated && !is_day_month_quarter_or_year(row.date)) {
    return date.mismatch("YYYY-MM-DD, YYYY-MM, YYYY-Qn, YYYY or undated");
  }
  return {};
}

Result<PriceRow> parse_row(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"provider", "region", "instance", "commitment", "accelerator", "accelerators", "vcpus",
                                "usd_per_hour", "usd_per_accelerator_hour", "usd_per_hour_low", "usd_per_hour_high",
                                "date", "source", "note"}));
  PriceRow row;
  SS_TRY_VOID(read_machine(node, row));
  SS_TRY(const YamlNode commitment, node.at("commitment"));
  SS_TRY(const std::string commitment_text, commitment.as_string());
  const std::optional<Commitment> known = commitment_from(commitment_text);
  if (!known || *known == Commitment::kOwn) return commitment.mismatch("on-demand, spot, 1-year or 3-years");
  row.commitment = *known;
  SS_TRY(row.usd_per_hour, price_of(node, "usd_per_hour"));
  SS_TRY(row.usd_per_hour_low, price_or_none(node, "usd_per_hour_low"));
  SS_TRY(row.usd_per_hour_high, price_or_none(node, "usd_per_hour_high"));
  if (row.usd_per_hour_low.value_or(row.usd_per_hour) > row.usd_per_hour ||
      row.usd_per_hour_high.value_or(row.usd_per_hour) < row.usd_per_hour) {
    return node.fault("usd_per_hour: expected it between usd_per_hour_low and usd_per_hour_high");
  }
  SS_TRY_VOID(check_price_of_one(node, row));
  if (const std::string why = why_implausible(row); !why.empty()) return node.fault("usd_per_hour: " + why);
  return row;
}

Result<OwnHardware> parse_own_hardware(const YamlNode& node) {
  constexpr double kMostUsd = 1e9;
  OwnHardware own;
  SS_TRY(own.purchase_usd, price_of(node, "purchase_usd"));
  SS_TRY(own.residual_percent, node.number_or("residual_percent", 0, {.min = 0, .max = 99}));
  SS_TRY(own.depreciation_years, node.number("depreciation_years", {.min = 0.5, .max = 20}));
  SS_TRY(own.power_w, node.number("power_w", {.min = 1, .max = 1e7}));
  SS_TRY(own.pue, node.number("pue", {.min = 1, .max = 5}));
  SS_TRY(own.usd_per_kwh, node.number("usd_per_kwh", {.min = 0.001, .max = 10}));
  SS_TRY(own.hosting_usd_per_month, node.number("hosting_usd_per_month", {.min = 0, .max = kMostUsd}));
  SS_TRY(own.maintenance_percent_per_year, node.number_or("maintenance_percent_per_year", 0, {.min = 0, .max = 100}));
  SS_TRY(own.utilisation_percent, node.number("utilisation_percent", {.min = 1, .max = 100}));
  return own;
}

Result<PriceRow> parse_own(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"provider", "region", "instance", "accelerator", "accelerators", "vcpus",
                                "purchase_usd", "residual_percent", "depreciation_years", "power_w", "pue",
                                "usd_per_kwh", "hosting_usd_per_month", "maintenance_percent_per_year",
                                "utilisation_percent", "date", "source", "note"}));
  PriceRow row;
  row.commitment = Commitment::kOwn;
  SS_TRY_VOID(read_machine(node, row));
  SS_TRY(row.own, parse_own_hardware(node));
  row.usd_per_hour = row.own->usd_per_hour();
  return row;
}

Result<std::vector<PriceRow>> rows_of(const YamlNode& root) {
  SS_TRY_VOID(root.expect_keys({"version", "read_on", "currency", "rows", "own"}));
  SS_TRY_VOID(root.integer("version", 1, 1));
  SS_TRY(const YamlNode read_on, root.at("read_on"));
  SS_TRY(const std::string read_on_text, read_on.as_string());
  if (!days_since_1970(read_on_text)) return read_on.mismatch("YYYY-MM-DD");
  SS_TRY(const YamlNode currency, root.at("currency"));
  SS_TRY(const std::string currency_text, currency.as_string());
  if (currency_text != "USD") return currency.mismatch("USD");
  std::vector<PriceRow> rows;
  std::set<std::string> keys;
  for (const auto& [list, parse] : {std::pair{"rows", &parse_row}, {"own", &parse_own}}) {
    SS_TRY(const std::vector<YamlNode> nodes, root.list_or_empty(list));
    for (const YamlNode& node : nodes) {
      SS_TRY(PriceRow row, parse(node));
      row.read_on = read_on_text;
      if (!keys.insert(row.key()).second) return node.fault(fmt::format("{} is given twice", in_quotes(row.key())));
      rows.push_back(std::move(row));
    }
  }
  if (rows.empty()) return root.mismatch("at least one row under rows or own");
  return rows;
}

}  // namespace

std::string_view to_string(Commitment commitment) {
  return kCommitments[static_cast<std::size_t>(commitment)];
}

std::optional<Commitment> commitment_from(std::string_view text) {
  const auto found = std::find(kCommitments.begin(), kCommitments.end(), text);
  if (found == kCommitments.end()) return std::nullopt;
  return static_cast<Commitment>(found - kCommitments.begin());
}

std::string PriceRow::key() const {
  return fmt::format("{}/{}/{}/{}", provider, region, instance, to_string(commitment));
}

std::string PriceRow::dated() const {
  return date == kUndated ? fmt::format("{}, read {}", date, read_on) : date;
}

std::string why_implausible(const PriceRow& row) {
  if (is_all_nines(row.usd_per_hour)) return fmt::format("{:g} is a placeholder", row.usd_per_hour);
  const double usd_per_unit = row.usd_per_hour / row.n_units();
  const bool on_accelerators = row.accelerators > 0;
  const double low = on_accelerators ? 0.02 : 0.0005;
  const double high = on_accelerators ? 100 : 2;
  if (usd_per_unit >= low && usd_per_unit <= high) return "";
  return fmt::format(
      "expected {:g} to {:g} USD per hour and {}, found {:g} ({:g} for {:g}): is it the price of the whole instance?",
      low, high, on_accelerators ? "accelerator" : "vCPU", usd_per_unit, row.usd_per_hour, row.n_units());
}

Result<std::vector<PriceRow>> parse_price_book(std::string_view yaml, std::string_view name) {
  SS_TRY(const YamlNode root, parse_yaml(yaml, name));
  return rows_of(root);
}

Result<std::vector<PriceRow>> read_price_book(const std::filesystem::path& path) {
  SS_TRY(const YamlNode root, read_yaml_file(path));
  return rows_of(root);
}

std::string write_price_book(const std::vector<PriceRow>& rows, std::string_view read_on) {
  // Every JSON string is also a YAML string.
  const auto quoted = [](const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  std::string out = fmt::format("version: 1\nread_on: {}\ncurrency: USD\nrows:\n", read_on);
  for (const PriceRow& row : rows) {
    if (row.commitment == Commitment::kOwn) continue;
    out += fmt::format("  - {{provider: {}, region: {}, instance: {}, commitment: {},\n", quoted(row.provider),
                       quoted(row.region), quoted(row.instance), to_string(row.commitment));
    out += fmt::format("     accelerator: {}", quoted(row.accelerator));
    if (row.accelerators > 0) out += fmt::format(", accelerators: {}", row.accelerators);
    if (row.vcpus > 0) out += fmt::format(", vcpus: {}", row.vcpus);
    out += fmt::format(", usd_per_hour: {}", row.usd_per_hour);
    if (row.accelerators > 1) {
      out +=
          fmt::format(", usd_per_accelerator_hour: {:.6g}", row.usd_per_hour / static_cast<double>(row.accelerators));
    }
    if (row.usd_per_hour_low) out += fmt::format(", usd_per_hour_low: {}", *row.usd_per_hour_low);
    if (row.usd_per_hour_high) out += fmt::format(", usd_per_hour_high: {}", *row.usd_per_hour_high);
    out += fmt::format(",\n     date: {}, source: {}", row.date, quoted(row.source));
    if (!row.note.empty()) out += fmt::format(",\n     note: {}", quoted(row.note));
    out += "}\n";
  }
  return out;
}

Result<PriceRow> find_price(std::string_view key, const std::vector<PriceRow>& book) {
  const std::string on_demand = fmt::format("{}/{}", key, to_string(Commitment::kOnDemand));
  std::string near;
  int n_near = 0;
  constexpr int kMostNear = 5;
  for (const PriceRow& row : book) {
    const std::string row_key = row.key();
    if (row_key == key || row_key == on_demand) return row;
    if (!key.empty() && row_key.find(key) != std::string::npos && n_near++ < kMostNear)
      near += (near.empty() ? "" : ", ") + row_key;
  }
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format("expected a key of the price book's {} rows, PROVIDER/REGION/INSTANCE/COMMITMENT, found {}{}",
                  book.size(), in_quotes(key), near.empty() ? "" : fmt::format(" (near: {})", near))};
}

Result<PricedInstance> resolve_price(std::string_view text, const std::vector<PriceRow>& book) {
  if (const auto usd_per_hour = parse_number<double>(text)) {
    if (!(*usd_per_hour > 0 && *usd_per_hour <= kMostUsdPerHour)) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("--price: expected USD per hour above 0 and up to {:.0f}, found {}", kMostUsdPerHour, text)};
    }
    return PricedInstance{.price = {.usd_per_hour = *usd_per_hour, .source = "--price", .date = ""}};
  }
  Result<PriceRow> row = find_price(text, book);
  if (!row) return row.error().with_context("--price: no number of USD per hour");
  return PricedInstance{.price = {.usd_per_hour = row->usd_per_hour,
                                  .n_units = row->n_units(),
                                  .n_units_used = row->n_units(),
                                  .source = fmt::format("{}: {}", row->key(), row->source),
                                  .date = row->dated()},
                        .n_devices = static_cast<double>(row->accelerators),
                        .n_cpus = static_cast<double>(row->vcpus)};
}

std::int64_t age_days(const PriceRow& row, std::string_view today) {
  const std::string day = first_day_of(row.date == kUndated ? row.read_on : row.date);
  return days_since_1970(today).value_or(0) - days_since_1970(day).value_or(0);
}

std::vector<PriceRow> stale_rows(const std::vector<PriceRow>& book, std::string_view today, std::int64_t max_age_days) {
  std::vector<PriceRow> stale;
  for (const PriceRow& row : book) {
    if (age_days(row, today) > max_age_days) stale.push_back(row);
  }
  return stale;
}

std::vector<PriceRow> rows_after(const std::vector<PriceRow>& book, std::string_view today) {
  std::vector<PriceRow> after;
  for (const PriceRow& row : book) {
    // Days as text sort like days.
    const bool is_dated_after = row.date != kUndated && first_day_of(row.date) > today;
    if (is_dated_after || row.read_on > today) after.push_back(row);
  }
  return after;
}

}  // namespace secondsource
