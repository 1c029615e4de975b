// Fuzzes the settings of a hub. The lines of an input are the name of a model and the environment variables HF_ENDPOINT, HF_TOKEN,
// HF_HUB_DOWNLOAD_TIMEOUT and HF_HUB_OFFLINE. An accepted name must be parsed to the same parts after it is composed from them again.
// Over plain HTTP, a token may only be sent to this machine.

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "bundle/relative_path.h"
#include "hub/hub_settings.h"
#include "hub/model_name.h"
#include "serving/server_url.h"

namespace {

using namespace secondsource;

void check_name(std::string_view text) {
  const auto model = parse_hub_model_name(text);
  if (!model) return;
  if (model->name().empty() || model->name().find('/') != std::string_view::npos) std::abort();
  if (!model->file.empty() && (!check_relative_path(model->file, "fuzz") || !model->file.ends_with(".gguf")))
    std::abort();
  const std::string file = model->file.empty() ? "" : "/" + model->file;
  const auto again = parse_hub_model_name("hf:" + model->repository + file + "@" + model->revision);
  if (!again || again->repository != model->repository || again->file != model->file ||
      again->revision != model->revision) {
    std::abort();
  }
  if (url_part(model->revision, false).find_first_of("/?#") != std::string::npos) std::abort();
}

bool is_loopback(std::string_view origin) {
  std::string host(origin.substr(origin.find("://") + 3));
  if (host.starts_with("[::1]")) return true;
  host.resize(std::min(host.find(':'), host.size()));
  in_addr address{};
  return host == "localhost" || (inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

void check_settings() {
  const auto settings = hub_settings_from_environment("");
  if (!settings) return;
  const std::string& endpoint = settings->endpoint;
  if (endpoint.ends_with('/') || endpoint.find_first_of("?#") != std::string::npos) std::abort();
  const std::string_view origin = origin_of(endpoint);
  if (!settings->token.is_empty() && !origin.starts_with("https://") && !is_loopback(origin)) std::abort();
  if (settings->stall_timeout_ns < 1'000'000'000 || settings->stall_timeout_ns > 86'400'000'000'000) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const auto next_line = [&] {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    return line;
  };
  check_name(next_line());
  for (const char* name : {"HF_ENDPOINT", "HF_TOKEN", "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_OFFLINE"}) {
    setenv(name, std::string(next_line()).c_str(), 1);
  }
  check_settings();
  return 0;
}
