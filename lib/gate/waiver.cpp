#include "gate/waiver.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "core/number.h"
#include "core/utf8.h"
#include "core/yaml.h"

namespace secondsource {
namespace {

/// "*" stands for any text, including none; an empty pattern matches everything.
bool glob_matches(std::string_view pattern, std::string_view text) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern.empty() || pattern == text;
  if (text.substr(0, star) != pattern.substr(0, star)) return false;
  const std::string_view rest = pattern.substr(star + 1);
  if (rest.empty()) return true;
  for (std::size_t from = star; from <= text.size(); ++from) {
    if (glob_matches(rest, text.substr(from))) return true;
  }
  return false;
}

Result<WaiverScope> parse_scope(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"bundle", "backend", "variant", "scenario", "metric"}));
  WaiverScope scope;
  SS_TRY(scope.bundle, node.string_or("bundle", ""));
  SS_TRY(scope.backend, node.string_or("backend", ""));
  SS_TRY(scope.variant, node.string_or("variant", ""));
  SS_TRY(scope.scenario, node.string_or("scenario", ""));
  SS_TRY(scope.metric, node.string_or("metric", ""));
  constexpr std::array<std::string_view, 4> kMetrics = {"cost", "ttft", "ttft_later", "tpot"};
  const auto is_meant = [&](std::string_view metric) { return glob_matches(scope.metric, metric); };
  if (std::ranges::none_of(kMetrics, is_meant)) {
    return node.fault(
        fmt::format("metric: expected cost, ttft, ttft_later or tpot, or a pattern with * that matches one "
                    "of them, found {}",
                    in_quotes(scope.metric)));
  }
  const auto matches_any = [](const std::string& pattern) {
    return pattern.find_first_not_of('*') == std::string::npos;
  };
  if (matches_any(scope.bundle) && matches_any(scope.backend) && matches_any(scope.variant) &&
      matches_any(scope.scenario) && matches_any(scope.metric)) {
    return node.fault("expected a bundle, backend, variant, scenario or metric; this one waives everything");
  }
  return scope;
}

/// True for name@domain without blanks.
bool is_address(std::string_view text) {
  const auto at = text.find('@');
  return at != std::string_view::npos && at > 0 && at + 1 < text.size() && text.find('@', at + 1) == text.npos &&
         text.find_first_of(" \t") == text.npos;
}

Result<Waiver> parse_waiver(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"id", "scope", "ceiling_percent", "owner", "reason", "link", "expires"}));
  Waiver waiver;
  for (const auto& [key, text] : {std::pair<const char*, std::string*>{"id", &waiver.id},
                                  {"owner", &waiver.owner},
                                  {"reason", &waiver.reason},
                                  {"link", &waiver.link},
                                  {"expires", &waiver.expires}}) {
    SS_TRY(*text, node.string(key));
    if (text->empty()) return node.fault(fmt::format("{}: expected a text, found none", key));
  }
  SS_TRY(const YamlNode scope, node.at("scope"));
  SS_TRY(waiver.scope, parse_scope(scope));
  SS_TRY(const YamlNode ceiling, node.at("ceiling_percent"));
  SS_TRY(waiver.ceiling_percent, ceiling.as_number());
  if (!(waiver.ceiling_percent > 0 && waiver.ceiling_percent <= 100)) {
    return ceiling.mismatch("a percentage above 0 and up to 100");
  }
  if (!is_address(waiver.owner)) {
    return node.fault(fmt::format("owner: expected an address, name@domain, found \"{}\"", waiver.owner));
  }
  if (!is_date(waiver.expires))
    return node.fault(fmt::format("expires: expected YYYY-MM-DD, found {}", in_quotes(waiver.expires)));
  return waiver;
}

Result<std::vector<Waiver>> waivers_of(const YamlNode& root) {
  SS_TRY_VOID(root.expect_keys({"waivers"}));
  SS_TRY(const std::vector<YamlNode> nodes, root.list("waivers"));
  std::vector<Waiver> waivers;
  std::set<std::string> ids;
  for (const YamlNode& node : nodes) {
    SS_TRY(Waiver waiver, parse_waiver(node));
    if (!ids.insert(waiver.id).second) return node.fault(fmt::format("id {} is given twice", in_quotes(waiver.id)));
    for (const Waiver& other : waivers) {
      if (other.scope == waiver.scope) {
        return node.fault(
            fmt::format("scope: expected another one than that of waiver {}; one change has one waiver", other.id));
      }
    }
    waivers.push_back(std::move(waiver));
  }
  return waivers;
}

}  // namespace

bool matches(const WaiverScope& scope, const CellKey& cell, std::string_view metric) {
  return glob_matches(scope.bundle, cell.bundle) && glob_matches(scope.backend, cell.backend) &&
         glob_matches(scope.variant, cell.variant) && glob_matches(scope.scenario, cell.scenario) &&
         glob_matches(scope.metric, metric);
}

Result<std::vector<Waiver>> parse_waivers(std::string_view yaml, std::string_view name) {
  SS_TRY(const YamlNode root, parse_yaml(yaml, name));
  return waivers_of(root);
}

Result<std::vector<Waiver>> read_waivers(const std::filesystem::path& path) {
  SS_TRY(const YamlNode root, read_yaml_file(path));
  return waivers_of(root);
}

bool is_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  const auto number = [&](std::size_t from, std::size_t count) {
    int value = 0;
    for (std::size_t i = from; i < from + count; ++i) {
      if (text[i] < '0' || text[i] > '9') return -1;
      value = 10 * value + (text[i] - '0');
    }
    return value;
  };
  const int year = number(0, 4);
  const int month = number(5, 2);
  const int day = number(8, 2);
  if (year < 0 || month < 1 || month > 12 || day < 1) return false;
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return day <= kDays[month - 1] + (month == 2 && leap ? 1 : 0);
}

// Dates in the form YYYY-MM-DD sort like strings.
bool is_expired(const Waiver& waiver, std::string_view today) {
  return today > waiver.expires;
}

std::optional<std::string> fault_on(const Waiver& waiver, std::string_view today) {
  if (is_expired(waiver, today)) return fmt::format("waiver {}: expired on {}", waiver.id, waiver.expires);
  int year = 0;
  if (!read_number(today.substr(0, 4), year)) return std::nullopt;
  const std::string latest = fmt::format("{:04}{}", year + 1, today.substr(4));
  if (waiver.expires <= latest) return std::nullopt;
  return fmt::format("waiver {}: expires on {}, more than a year from today; expected {} at the latest", waiver.id,
                     waiver.expires, latest);
}

}  // namespace secondsource
