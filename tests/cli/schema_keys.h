#pragma once
// Helpers to check that a reader accepts the same keys as the published schema.

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

namespace secondsource::test {

/// Returns the keys that an error message lists: "expected only the keys a, b; found ..."
inline std::set<std::string> keys_in(const std::string& message) {
  constexpr std::string_view kBegin = "expected only the keys ";
  const std::size_t begin = message.find(kBegin) + kBegin.size();
  std::istringstream list(message.substr(begin, message.find("; found") - begin));
  std::set<std::string> keys;
  for (std::string key; std::getline(list >> std::ws, key, ',');) keys.insert(key);
  return keys;
}

inline std::set<std::string> properties_of(const nlohmann::json& schema) {
  std::set<std::string> names;
  for (const auto& [name, property] : schema.at("properties").items()) names.insert(name);
  return names;
}

}  // namespace secondsource::test
