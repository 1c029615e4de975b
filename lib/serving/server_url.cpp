#include "serving/server_url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>

#include <memory>
#include <optional>

#include "core/utf8.h"

namespace secondsource {
namespace {

struct CleanUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

std::optional<std::string> part_of(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return std::nullopt;
  std::string copy(text);
  curl_free(text);
  return copy;
}

}  // namespace

Result<ServerUrl> parse_server_url(std::string_view text, std::string_view default_path, const UrlWording& wording) {
  const auto refuse = [&wording](std::string_view shown_text, std::string_view why) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{} {}: expected {}", wording.what, in_quotes(shown_text), why)};
  };
  const std::unique_ptr<CURLU, CleanUrl> url(curl_url());
  const std::string whole(text);
  if (url == nullptr || curl_url_set(url.get(), CURLUPART_URL, whole.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
    return refuse(text.substr(0, text.find('@') == std::string_view::npos ? text.size() : 0), wording.example);
  }
  const std::string scheme = part_of(url.get(), CURLUPART_SCHEME).value_or("");
  // The text of these parts may be a secret, so it is not repeated.
  for (const CURLUPart part : {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT}) {
    if (!part_of(url.get(), part)) continue;
    return refuse(part_of(url.get(), CURLUPART_HOST).value_or(""),
                  fmt::format("no user, password, query or fragment in it; {}", wording.secrets));
  }
  if (scheme != "http" && scheme != "https") return refuse(text, "http or https");
  std::string path = part_of(url.get(), CURLUPART_PATH).value_or("/");
  while (path.ends_with('/')) path.pop_back();
  if (path.empty()) path = default_path;
  std::string host = part_of(url.get(), CURLUPART_HOST).value_or("");
  // RFC 6874: the zone of a link-local address, which says on which network it is.
  if (const auto zone = part_of(url.get(), CURLUPART_ZONEID)) host.insert(host.find(']'), "%25" + *zone);
  const auto port = part_of(url.get(), CURLUPART_PORT);
  const std::string address = fmt::format("{}://{}{}", scheme, host, port ? ":" + *port : "");
  return ServerUrl{address + path, address + path.substr(0, path.rfind('/'))};
}

bool is_this_machine(std::string_view url) {
  const std::string_view origin = origin_of(url);
  std::string_view host = origin.substr(origin.find("://") + 3);
  host = host.starts_with('[') ? host.substr(0, host.find(']') + 1) : host.substr(0, host.find(':'));
  in_addr address{};
  const bool is_ipv4 = inet_pton(AF_INET, std::string(host).c_str(), &address) == 1;
  return host == "localhost" || host == "[::1]" || (is_ipv4 && ntohl(address.s_addr) >> 24 == 127);
}

}  // namespace secondsource
