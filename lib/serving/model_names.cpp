#include "serving/model_names.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/json.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

std::string_view without_tag(std::string_view name) {
  constexpr std::string_view kLatest = ":latest";
  if (name.ends_with(kLatest)) name.remove_suffix(kLatest.size());
  return name;
}

/// The text under `key`; empty if there is none.
std::string text_of(const Json& entry, const char* key) {
  const Json value = entry.value(key, Json());
  return value.is_string() ? value.get<std::string>() : std::string();
}

void add_own_names(const Json& entry, std::vector<std::string>& names) {
  for (const char* key : {"id", "name", "model", "root"}) names.push_back(text_of(entry, key));
  const Json aliases = entry.value("aliases", Json());
  if (aliases.is_array()) {
    for (const Json& alias : aliases) {
      if (alias.is_string()) names.push_back(alias.get<std::string>());
    }
  }
  const Json status = entry.value("status", Json());
  const Json words = status.is_object() ? status.value("args", Json()) : Json();
  for (std::size_t index = 0; words.is_array() && index + 1 < words.size(); ++index) {
    const Json& flag = words[index];
    const bool is_name = flag == "--alias" || flag == "-a" || flag == "--model" || flag == "-m";
    if (is_name && words[index + 1].is_string()) names.push_back(words[index + 1].get<std::string>());
  }
}

}  // namespace

std::vector<std::string> names_of_model(std::string_view list, const std::string& model) {
  std::vector<std::string> names = {model};
  JsonLimits limits;
  limits.allow_duplicate_keys = true;
  const Result<Json> tree = parse_json(list, "models", limits);
  if (!tree || !tree->is_object() || !tree->contains("data") || !tree->at("data").is_array()) return names;
  const Json& entries = tree->at("data");
  std::string root;
  for (const Json& entry : entries) {
    if (!entry.is_object() || without_tag(text_of(entry, "id")) != without_tag(model)) continue;
    add_own_names(entry, names);
    root = text_of(entry, "root");
  }
  for (const Json& entry : entries) {
    if (!root.empty() && entry.is_object() && text_of(entry, "root") == root) names.push_back(text_of(entry, "id"));
  }
  std::erase(names, "");
  return names;
}

bool is_named(const std::vector<std::string>& names, std::string_view said) {
  return std::ranges::any_of(names, [&](const std::string& name) { return without_tag(name) == without_tag(said); });
}

}  // namespace secondsource
