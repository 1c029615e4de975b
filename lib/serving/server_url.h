#pragma once
// The address of a server, checked before anything is sent to it.

#include <cstddef>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// The customary path of the metrics of a server or an exporter.
inline constexpr std::string_view kMetricsPath = "/metrics";

struct ServerUrl {
  std::string base;  ///< where the OpenAI API is: "http://host:8000/v1"
  std::string root;  ///< the same without the last part of its path: "http://host:8000"
};

/// The wording of the messages of parse_server_url().
struct UrlWording {
  std::string_view what = "system URL";
  std::string_view example = "an address such as http://127.0.0.1:8000/v1";
  std::string_view secrets = "a key comes from key_env=VARIABLE or key_file=FILE";  ///< where they belong instead
};

/// Parses an http or https URL. Without a path it gets `default_path` ("/v1"). Errors: kInvalidInput for another scheme,
/// and for a user, password, query or fragment, since a URL is stored and shown and may have no secrets.
Result<ServerUrl> parse_server_url(std::string_view text, std::string_view default_path,
                                   const UrlWording& wording = {});

/// Scheme, host and port of a URL that parse_server_url() returned: "http://host:8000".
[[nodiscard]] inline std::string_view origin_of(std::string_view url) {
  const std::size_t host = url.find("://");
  return host == std::string_view::npos ? url : url.substr(0, url.find('/', host + 3));
}

/// True for a URL of parse_server_url() whose host can only be this machine: localhost, [::1], and the addresses 127.x.y.z. A name
/// such as 127.example.org or localhost.example.org is another machine's.
[[nodiscard]] bool is_this_machine(std::string_view url);

}  // namespace secondsource
