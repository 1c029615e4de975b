// For a build without libcurl (SECONDSOURCE_WITH_SERVERS is OFF): parsing a URL and creating a client fail with an
// explanation.

#include <utility>

#include "serving/http_client.h"
#include "serving/server_url.h"

namespace secondsource {
namespace {

Error no_servers() {
  return {
      ErrorCode::kUnsupported,
      "this build cannot ask servers or pull models: SECONDSOURCE_WITH_SERVERS was OFF when it was made, which leaves out libcurl"};
}

}  // namespace

struct HttpClient::State {
  ApiKey key;
  ConnectionTotals totals;
  ServerTimes dates;
};

HttpClient::HttpClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;

Result<HttpClient> HttpClient::create(HttpSettings) {
  return no_servers();
}
Result<void> HttpClient::start(std::int64_t, HttpCall) {
  return no_servers();
}
void HttpClient::cancel(std::int64_t) {}
void HttpClient::cancel_all() {}
Result<void> HttpClient::poll(std::int64_t, std::vector<HttpEnd>&) {
  return no_servers();
}
Result<HttpReply> HttpClient::fetch(HttpCall, const std::function<void()>&) {
  return no_servers();
}
const ApiKey& HttpClient::key() const {
  return state_->key;
}
const ConnectionTotals& HttpClient::connections() const {
  return state_->totals;
}
ServerTimes& HttpClient::dates() {
  return state_->dates;
}

Result<void> check_http2_without_tls() {
  return no_servers();
}

Result<ServerUrl> parse_server_url(std::string_view, std::string_view, const UrlWording&) {
  return no_servers();
}

}  // namespace secondsource
