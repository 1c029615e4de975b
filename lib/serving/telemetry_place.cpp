#include "serving/telemetry_place.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/utf8.h"
#include "serving/server_url.h"

namespace secondsource {
namespace {

constexpr std::string_view kLocal = "local";

}  // namespace

Result<std::string> parse_telemetry_place(std::string_view text) {
  if (const auto ids = local_gpu_ids(text)) {
    const bool is_whole = text != "local:" && std::ranges::none_of(*ids, &std::string::empty);
    if (is_whole) return std::string(text);
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("expected local, local:ID+ID with the UUID or the PCI bus id of each GPU, or the URL of an "
                    "exporter, found {}",
                    in_quotes(text))};
  }
  SS_TRY(const ServerUrl url, parse_server_url(text, kMetricsPath));
  return url.base;
}

std::optional<std::vector<std::string>> local_gpu_ids(std::string_view place) {
  if (!place.starts_with(kLocal)) return std::nullopt;
  std::string_view rest = place.substr(kLocal.size());
  std::vector<std::string> ids;
  if (rest.empty()) return ids;
  if (rest.front() != ':') return std::nullopt;
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::string_view id = rest.substr(0, rest.find('+'));
    ids.emplace_back(id);
    rest.remove_prefix(id.size());
  }
  return ids;
}

}  // namespace secondsource
