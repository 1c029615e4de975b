#include "ab/system_differences.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "core/enum_format.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr const char* kStart = "start";
constexpr const char* kEngineOptions = "engine options";

using Facts = std::vector<std::pair<std::string, std::string>>;  // name and value, in the order of the report

std::string words(const std::vector<std::string>& list) {
  return fmt::format("{}", fmt::join(list, " "));
}

void add_all(const std::string& prefix, const Facts& more, Facts& facts) {
  for (const auto& [name, value] : more) facts.emplace_back(prefix + name, value);
}

void add_start_facts(const ManagedStart& managed, Facts& facts) {
  facts.emplace_back("image", managed.image);
  facts.emplace_back("image id", managed.image_id);
  facts.emplace_back(kStart, words(managed.start));
  add_all("env ", managed.env, facts);
  facts.emplace_back("engine", managed.engine);
  facts.emplace_back("engine version", managed.engine_version);
  facts.emplace_back(kEngineOptions, words(managed.engine_options));
}

Facts facts_of_served(const ServedSystem& served) {
  Facts facts = {{"system", served.managed ? "a server that is started" : "a server that was there"},
                 {"preset", fmt::to_string(served.preset)},
                 {"API", fmt::to_string(served.api)},
                 {"HTTP", fmt::to_string(served.http)},
                 {"model", served.model},
                 {"version", served.version}};
  add_all("", served.settings, facts);
  const ServedFeatures features = served.features.value_or(ServedFeatures());
  for (const auto& [name, setting] :
       {std::pair("speculative decoding", &features.speculative), std::pair("prefix cache", &features.prefix_cache),
        std::pair("KV cache", &features.kv_cache)}) {
    facts.emplace_back(name, setting->source == SettingSource::kUnknown ? "unknown" : setting->value);
  }
  if (served.managed) {
    add_start_facts(*served.managed, facts);
  } else {
    facts.emplace_back("address", served.url);
  }
  return facts;
}

Facts facts_of_adapter(const AdapterSystem& adapter) {
  Facts facts = {{"system", "a runtime behind an adapter"},
                 {"adapter", adapter.adapter},
                 {"runtime", adapter.runtime},
                 {kStart, words(adapter.start)}};
  add_all("version of ", adapter.versions, facts);
  add_all("option ", adapter.options, facts);
  add_all("", adapter.settings, facts);
  add_all("env ", adapter.env, facts);
  return facts;
}

Facts facts_of_run(const RunRecord& run) {
  const BackendRecord& backend = run.backends.front();
  Facts facts = backend.adapter  ? facts_of_adapter(*backend.adapter)
                : backend.served ? facts_of_served(*backend.served)
                                 : Facts();
  facts.emplace_back("devices", fmt::format("{:g}", backend.n_units_used));
  for (const HostFact& fact : run.host) {
    if (fact.name.find("driver") != std::string::npos) facts.emplace_back(fact.name, fact.value.value_or(""));
  }
  return facts;
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> list;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    if (end > at) list.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return list;
}

/// Removes the words that two commands have in common at their beginnings and ends, since a reader looks for the flag
/// that differs.
void keep_what_differs(std::string& a, std::string& b) {
  std::vector<std::string> of_a = words_of(a);
  std::vector<std::string> of_b = words_of(b);
  const auto differ = std::ranges::mismatch(of_a, of_b);
  of_a.erase(of_a.begin(), differ.in1);
  of_b.erase(of_b.begin(), differ.in2);
  while (!of_a.empty() && !of_b.empty() && of_a.back() == of_b.back()) {
    of_a.pop_back();
    of_b.pop_back();
  }
  a = words(of_a);
  b = words(of_b);
}

std::string shown_value(const std::string& value) {
  return value.empty() ? "none" : fmt::format("\"{}\"", shown(value));
}

/// Empty if there is no such fact.
std::string value_of(const Facts& facts, const std::string& name) {
  const auto found = std::ranges::find(facts, name, &Facts::value_type::first);
  return found == facts.end() ? "" : found->second;
}

}  // namespace

std::vector<std::string> system_differences(const RunRecord& base, const RunRecord& candidate) {
  std::vector<std::string> differences;
  if (base.backends.empty() || candidate.backends.empty()) return differences;
  const Facts of_base = facts_of_run(base);
  const Facts of_candidate = facts_of_run(candidate);
  std::vector<std::string> names;
  for (const Facts* const facts : {&of_base, &of_candidate}) {
    for (const auto& [name, value] : *facts) {
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
  }
  for (const std::string& name : names) {
    std::string a = value_of(of_base, name);
    std::string b = value_of(of_candidate, name);
    if (a == b) continue;
    if (name == kStart || name == kEngineOptions) keep_what_differs(a, b);
    differences.push_back(fmt::format("{}: {} and {}", name, shown_value(a), shown_value(b)));
  }
  return differences;
}

bool is_same_system(const BackendRecord& before, const BackendRecord& now) {
  if (before.adapter != now.adapter || before.served.has_value() != now.served.has_value()) return false;
  if (!before.served) return true;
  ServedSystem expected = *before.served;
  expected.url = now.served->url;
  // The metrics page has the server's address, which changes with each start.
  if (!expected.metrics.empty()) expected.metrics = now.served->metrics;
  // A model that is named by its path keeps its name, since the folder of a bundle's model is always the same.
  return expected == *now.served;
}

}  // namespace secondsource
