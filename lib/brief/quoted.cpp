#include "brief/quoted.h"

#include <fmt/format.h>

#include <set>

#include "core/calendar.h"
#include "core/utf8.h"
#include "core/yaml.h"

namespace secondsource {
namespace {

Result<Slo> parse_limits(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"ttft_ms", "tpot_ms", "percent"}));
  constexpr double kLongestMs = 3.6e6;
  Slo slo;
  SS_TRY(slo.ttft_ms, node.number("ttft_ms", {.min = 0.001, .max = kLongestMs}));
  SS_TRY(slo.tpot_ms, node.number("tpot_ms", {.min = 0.001, .max = kLongestMs}));
  SS_TRY(slo.percent, node.number("percent", {.min = 1, .max = 99.99}));
  return slo;
}

Result<QuotedRow> parse_row(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"id", "model", "precision", "accelerator", "accelerators", "scenario",
                                "output_tok_per_s", "slo", "submitter", "source", "date", "note"}));
  QuotedRow row;
  for (const auto& [key, text] : {std::pair<const char*, std::string*>{"id", &row.id},
                                  {"model", &row.model},
                                  {"precision", &row.precision},
                                  {"accelerator", &row.accelerator},
                                  {"submitter", &row.submitter},
                                  {"source", &row.source},
                                  {"date", &row.date}}) {
    SS_TRY(*text, node.string(key));
    if (text->empty()) return node.fault(fmt::format("{}: expected a text, found none", key));
  }
  SS_TRY(row.note, node.string_or("note", ""));
  SS_TRY(row.accelerators, node.integer("accelerators", 1, 1'000'000));
  SS_TRY(row.output_tok_per_s, node.number("output_tok_per_s", {.min = 1e-3, .max = 1e12}));
  SS_TRY(const YamlNode scenario, node.at("scenario"));
  SS_TRY(row.scenario, scenario.as_string());
  if (row.scenario != "offline" && row.scenario != "server" && row.scenario != "interactive") {
    return scenario.mismatch("offline, server or interactive");
  }
  if ((row.scenario == "offline") == node.has("slo")) {
    return node.fault("slo: expected the limits of a server or interactive figure, and none of an offline one");
  }
  if (row.date != "undated" && !is_day_month_quarter_or_year(row.date)) {
    return node.fault(
        fmt::format("date: expected YYYY-MM-DD, YYYY-MM, YYYY-Qn, YYYY or undated, found {}", in_quotes(row.date)));
  }
  if (const auto limits = node.find("slo")) {
    SS_TRY(row.slo, parse_limits(*limits));
  }
  return row;
}

Result<std::vector<QuotedRow>> rows_of(const YamlNode& root) {
  SS_TRY_VOID(root.expect_keys({"version", "read_on", "rows"}));
  SS_TRY_VOID(root.integer("version", 1, 1));
  SS_TRY(const YamlNode read_on, root.at("read_on"));
  SS_TRY(const std::string day, read_on.as_string());
  if (!days_since_1970(day)) return read_on.mismatch("YYYY-MM-DD");
  SS_TRY(const std::vector<YamlNode> nodes, root.list("rows"));
  std::vector<QuotedRow> rows;
  std::set<std::string> ids;
  for (const YamlNode& node : nodes) {
    SS_TRY(QuotedRow row, parse_row(node));
    row.read_on = day;
    if (!ids.insert(row.id).second) return node.fault(fmt::format("id {} is given twice", in_quotes(row.id)));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

Result<std::vector<QuotedRow>> parse_quoted(std::string_view yaml, std::string_view name) {
  SS_TRY(const YamlNode root, parse_yaml(yaml, name));
  return rows_of(root);
}

Result<std::vector<QuotedRow>> read_quoted(const std::filesystem::path& path) {
  SS_TRY(const YamlNode root, read_yaml_file(path));
  return rows_of(root);
}

}  // namespace secondsource
