#pragma once
// JSON as this program writes it for others to read: plain ASCII. Characters beyond it are escaped, so that no name of a
// bundle can send a terminal its control sequences or turn the order of the text around; a reader of JSON sees the same
// values. Bytes that are not UTF-8 (in a device's name or a library's error) are replaced, because they must not stop
// the writing of a journal.

#include <nlohmann/json.hpp>
#include <string>

namespace secondsource {

/// An `indent` of -1 gives a single line. Json: nlohmann::json or nlohmann::ordered_json.
template <typename Json>
[[nodiscard]] std::string to_json_text(const Json& tree, int indent = -1) {
  return tree.dump(indent, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

}  // namespace secondsource
