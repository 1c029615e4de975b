#pragma once
// JSON as an earlier release of the program wrote it, made from what this one writes.

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

namespace secondsource::test {

/// Leaves out the members with these names, at every depth. REQUIREs nothing: a name that does not occur is ignored, so
/// tests check that the result differs.
inline std::string without_members(std::string_view json, const std::set<std::string>& names) {
  nlohmann::ordered_json tree = nlohmann::ordered_json::parse(json);
  const auto clean = [&](const auto& self, nlohmann::ordered_json& node) -> void {
    if (node.is_object()) {
      for (const std::string& name : names) node.erase(name);
    }
    if (!node.is_structured()) return;
    for (nlohmann::ordered_json& child : node) self(self, child);
  };
  clean(clean, tree);
  return tree.dump();
}

}  // namespace secondsource::test
