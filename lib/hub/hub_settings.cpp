#include "hub/hub_settings.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "core/utf8.h"
#include "serving/server_url.h"

namespace secondsource {
namespace {

// The public hub: the only built-in address that this project calls.
constexpr std::string_view kPublicHub = "https://huggingface.co";
constexpr std::int64_t kLongestStall = 24 * 3600;

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Result<HubSettings> hub_settings_from_environment(const std::string& endpoint) {
  const std::string offline = variable("HF_HUB_OFFLINE");
  if (!offline.empty() && offline != "0") {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("HF_HUB_OFFLINE is {}: expected it unset or 0, since a model can "
                             "be pulled from a hub only",
                             in_quotes(offline))};
  }
  HubSettings settings;
  const std::string from_environment = variable("HF_ENDPOINT");
  const bool is_given = !endpoint.empty();
  const std::string address = is_given                   ? endpoint
                              : from_environment.empty() ? std::string(kPublicHub)
                                                         : from_environment;
  SS_TRY(const ServerUrl url, parse_server_url(address, "",
                                               {.what = is_given ? "--endpoint" : "HF_ENDPOINT",
                                                .example = "the address of a hub, as https://hub.example.org",
                                                .secrets = "a token comes from the environment variable HF_TOKEN"}));
  settings.endpoint = url.base;
  if (!variable("HF_TOKEN").empty()) {
    SS_TRY(settings.token, ApiKey::read({.environment = "HF_TOKEN", .file = {}}));
    const std::string_view origin = origin_of(settings.endpoint);
    if (origin.starts_with("http://") && !is_this_machine(origin)) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("{}: expected https, since the token in HF_TOKEN would be readable on the way; unset it if "
                      "this hub needs none",
                      shown(origin))};
    }
  }
  if (const std::string seconds = variable("HF_HUB_DOWNLOAD_TIMEOUT"); !seconds.empty()) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(seconds.data(), seconds.data() + seconds.size(), value);
    if (error != std::errc() || *end != '\0' || value < 1 || value > kLongestStall) {
      return Error{ErrorCode::kInvalidInput, fmt::format("HF_HUB_DOWNLOAD_TIMEOUT: expected seconds, 1 to {}, found {}",
                                                         kLongestStall, in_quotes(seconds))};
    }
    settings.stall_timeout_ns = value * 1'000'000'000;
  }
  return settings;
}

}  // namespace secondsource
