// Interprets an ended request. It does not need libcurl, so every build contains it.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/ascii.h"
#include "core/json.h"
#include "core/utf8.h"
#include "serving/http_client.h"

namespace secondsource {

std::string message_in(std::string_view body) {
  JsonLimits limits;
  limits.allow_duplicate_keys = true;
  const Result<nlohmann::json> tree = parse_json(body, "response", limits);
  if (!tree || !tree->is_object()) return std::string(body);
  const nlohmann::json* node = &*tree;
  for (const char* key : {"error", "message", "detail"}) {
    const auto found = node->find(key);
    if (found == node->end()) continue;
    if (found->is_string()) return found->get<std::string>();
    if (found->is_object()) node = &*found;
  }
  return std::string(body);
}

bool has_type(std::string_view content_type, std::string_view type) {
  return ascii_lower(content_type.substr(0, type.size())) == ascii_lower(type);
}

bool has_http2_without_tls(unsigned version) {
  // curl's pull request 10643 mends a connection that is used again after its first request ("Error in the HTTP2 framing
  // layer"); the release behind 7.88.1 is 8.0.0.
  return version < 0x075800 || version >= 0x080000;
}

void ConnectionTotals::add(const ConnectionTimes& times) {
  n_opened += 1;
  dns_ns += times.dns_ns;
  tcp_ns += times.tcp_ns;
  tls_ns += times.tls_ns;
}

std::string refusal_of(const HttpEnd& end, std::string_view body, std::string_view expected_type, const ApiKey& key) {
  const auto sentence = [&] { return body.empty() ? std::string("no text") : shown(message_in(body)); };
  std::string text;
  if (!end.redirect.empty()) {
    text = fmt::format("HTTP {}: the server redirects to {}, which is not followed: give that address instead",
                       end.status, shown(end.redirect));
  } else if (end.status != 200) {
    text = fmt::format("HTTP {}: {}", end.status, sentence());
    if (end.retry_after_s) text += fmt::format(" (try again after {} s)", *end.retry_after_s);
  } else if (!has_type(end.content_type, expected_type)) {
    text = fmt::format("expected {}, found {}: {}", expected_type,
                       end.content_type.empty() ? "no content type" : shown(end.content_type), sentence());
  }
  return key.cut_from(std::move(text));
}

}  // namespace secondsource
