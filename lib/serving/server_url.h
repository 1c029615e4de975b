#pragma once
// The address of a server, checked before anything is sent to it.

#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

struct ServerUrl {
  std::string base;  ///< where the OpenAI API is: "http://host:8000/v1"
  std::string root;  ///< the same without the last part of its path: "http://host:8000"
};

/// Parses an http or https URL. Without a path it gets `default_path` ("/v1"). Errors: kInvalidInput for another scheme,
/// and for a user, password, query or fragment, since a URL is stored and shown and may have no secrets.
Result<ServerUrl> parse_server_url(std::string_view text, std::string_view default_path);

}  // namespace secondsource
