#include "cost/price_book.h"

#include <fmt/format.h>

#include <charconv>
#include <set>

#include "bundle/yaml.h"

namespace secondsource {
namespace {

Result<PriceRow> parse_row(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys(
      {"id", "provider", "instance", "accelerator", "units", "usd_per_hour", "region", "date", "source", "note"}));
  PriceRow row;
  SS_TRY(row.id, node.string("id"));
  SS_TRY(row.provider, node.string("provider"));
  SS_TRY(row.instance, node.string("instance"));
  SS_TRY(row.accelerator, node.string("accelerator"));
  SS_TRY(row.region, node.string("region"));
  SS_TRY(row.date, node.string("date"));
  SS_TRY(row.source, node.string("source"));
  SS_TRY(row.note, node.string_or("note", ""));
  SS_TRY(const YamlNode units, node.at("units"));
  SS_TRY(row.n_units, units.as_number());
  if (!(row.n_units >= 1)) return units.mismatch("a count of at least 1");
  SS_TRY(const YamlNode usd, node.at("usd_per_hour"));
  SS_TRY(row.usd_per_hour, usd.as_number());
  if (!(row.usd_per_hour > 0)) return usd.mismatch("a price above 0");
  return row;
}

Result<std::vector<PriceRow>> rows_of(const YamlNode& root) {
  SS_TRY_VOID(root.expect_keys({"read_on", "currency", "rows"}));
  SS_TRY(const YamlNode currency, root.at("currency"));
  SS_TRY(const std::string currency_text, currency.as_string());
  if (currency_text != "USD") return currency.mismatch("USD");
  SS_TRY(const std::vector<YamlNode> nodes, root.list("rows"));
  std::vector<PriceRow> rows;
  std::set<std::string> ids;
  for (const YamlNode& node : nodes) {
    SS_TRY(PriceRow row, parse_row(node));
    if (!ids.insert(row.id).second) return node.fault(fmt::format("id \"{}\" stands twice", row.id));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

Result<std::vector<PriceRow>> parse_price_book(std::string_view yaml, std::string_view name) {
  SS_TRY(const YamlNode root, parse_yaml(yaml, name));
  return rows_of(root);
}

Result<std::vector<PriceRow>> read_price_book(const std::filesystem::path& path) {
  SS_TRY(const YamlNode root, read_yaml_file(path));
  return rows_of(root);
}

Result<Price> resolve_price(std::string_view text, const std::vector<PriceRow>& book) {
  double usd_per_hour = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, usd_per_hour);
  if (parsed.ec == std::errc() && parsed.ptr == end) {
    if (!(usd_per_hour > 0 && usd_per_hour < 1e9)) {
      return Error{ErrorCode::kInvalidInput, fmt::format("--price: expected USD per hour above 0, found {}", text)};
    }
    return Price{.usd_per_hour = usd_per_hour, .source = "--price", .date = ""};
  }
  std::string known;
  for (const PriceRow& row : book) {
    if (row.id == text) {
      return Price{
          .usd_per_hour = row.usd_per_hour,
          .n_units = row.n_units,
          .n_units_used = row.n_units,
          .source = fmt::format("{}: {} {} of {}; {}", row.id, row.provider, row.instance, row.region, row.source),
          .date = row.date};
    }
    known += (known.empty() ? "" : ", ") + row.id;
  }
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format("--price: expected USD per hour or a row of the price book ({}), found \"{}\"", known, text)};
}

}  // namespace secondsource
