#pragma once
// Where the hub is and who asks it, from the environment variables of huggingface_hub:
//
//   HF_ENDPOINT               the address of a mirror instead of the public hub's
//   HF_TOKEN                  the access token; it lives in memory only, goes to this address alone, and is cut from every message
//   HF_HUB_DOWNLOAD_TIMEOUT   seconds without a byte after which a connection counts as lost (10)
//   HF_HUB_OFFLINE            1: nothing may be asked

#include <cstdint>
#include <string>

#include "core/result.h"
#include "serving/api_key.h"

namespace secondsource {

struct HubSettings {
  std::string endpoint;  ///< without a slash at its end
  ApiKey token;
  std::int64_t stall_timeout_ns = 10'000'000'000;
  std::int32_t n_retries = 5;  ///< attempts after one that failed, without a byte between them
};

/// `endpoint`, if not empty, takes precedence over HF_ENDPOINT. Errors: kInvalidInput, naming the variable, and for a
/// token that would go over an unencrypted connection to another machine.
Result<HubSettings> hub_settings_from_environment(const std::string& endpoint);

}  // namespace secondsource
