#pragma once
// Requests over HTTP/1.1 and HTTP/2, many at once on one thread (libcurl's multi interface). Redirects are not followed
// and nothing is retried: a redirect or a refusal is a result. A body is passed on as it arrives.
//
//   SS_TRY(HttpClient client, HttpClient::create({.key = key}));
//   client.start(7, {.url = url, .body = json, .on_body = take});
//   while (open) SS_TRY_VOID(client.poll(now_ns() + kSliceNs, ends));

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "record/served_system.h"
#include "serving/api_key.h"
#include "serving/server_times.h"

namespace secondsource {

/// Header lines of a response by their names in lower case.
using HttpHeaders = std::map<std::string, std::string, std::less<>>;

/// The first lines of a response.
struct HttpHead {
  long status = 0;
  std::string_view content_type;         ///< as the server writes it; empty: none
  const HttpHeaders* headers = nullptr;  ///< those of HttpCall::wanted_headers that came
};

/// Takes a piece of a body, decompressed, with the time at which it was known on this host. False ends the request.
using OnBody = std::function<bool(const HttpHead& head, std::string_view bytes, std::int64_t at_ns)>;

struct HttpCall {
  std::string url;
  std::string body{};  ///< JSON to post; empty: a GET
  std::string_view accept = "application/json";
  std::int64_t timeout_ns = 30'000'000'000;  ///< from start to the end of the body
  std::int64_t max_body_bytes = std::int64_t{64} << 20;
  OnBody on_body{};
  bool opens_connection = false;              ///< does not reuse an open connection
  std::vector<std::string> headers{};         ///< further lines of the request: "Range: bytes=5-"
  std::vector<std::string> wanted_headers{};  ///< names, in lower case, of the response's header lines to keep
  bool sends_key = true;                      ///< the client's key goes with the request
  std::int64_t stall_timeout_ns = 0;          ///< ends a transfer in which nothing arrived for so long; 0: never
};

/// How long opening a connection took.
struct ConnectionTimes {
  std::int64_t dns_ns = 0;
  std::int64_t tcp_ns = 0;
  std::int64_t tls_ns = 0;  ///< 0 without TLS
  [[nodiscard]] std::int64_t total_ns() const { return dns_ns + tcp_ns + tls_ns; }
};

/// The sums over all connections that a client opened. Other threads may read them.
struct ConnectionTotals {
  std::atomic<std::int64_t> n_opened{0};
  std::atomic<std::int64_t> dns_ns{0};
  std::atomic<std::int64_t> tcp_ns{0};
  std::atomic<std::int64_t> tls_ns{0};
  void add(const ConnectionTimes& times);
};

struct HttpEnd {
  std::int64_t id = 0;
  long status = 0;
  std::string content_type;
  std::optional<std::int64_t> retry_after_s;
  std::string redirect;                       ///< the address that the server names instead
  std::string error;                          ///< why no whole response came; empty if one did, whatever its status
  bool was_refused = false;                   ///< on_body returned false
  std::optional<ConnectionTimes> connection;  ///< present if this request opened one
  int http_version = 0;                       ///< 11 or 20 (2.0); 0: unknown
  HttpHeaders headers;                        ///< those of HttpCall::wanted_headers that came
};

struct HttpReply {
  HttpEnd end;
  std::string body;
};

struct HttpSettings {
  ApiKey key{};
  HttpVersion version = HttpVersion::kAutomatic;
  /// Uses the proxy that the environment names (https_proxy, no_proxy and related variables, as libcurl reads them).
  /// Off by default, because a proxy would be part of what is timed.
  bool takes_proxy = false;
};

class HttpClient {
 public:
  /// Errors: kOutOfMemory, kUnsupported.
  static Result<HttpClient> create(HttpSettings settings);
  ~HttpClient();
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) = delete;

  /// Starts a request; `id` must differ from those of all open requests. Errors: kOutOfMemory.
  Result<void> start(std::int64_t id, HttpCall call);
  /// Ends a request without an HttpEnd.
  void cancel(std::int64_t id);
  void cancel_all();
  /// Works until a body has grown, a request has ended or `until_ns` is reached; appends the requests that ended. Errors:
  /// kInternal.
  Result<void> poll(std::int64_t until_ns, std::vector<HttpEnd>& ends);

  /// Makes one request and waits for its end, calling `on_wait` now and then. Errors: kUnavailable if no whole response
  /// came; a response with any status is a result.
  Result<HttpReply> fetch(HttpCall call, const std::function<void()>& on_wait = {});

  [[nodiscard]] const ApiKey& key() const;
  [[nodiscard]] const ConnectionTotals& connections() const;
  /// The times from the Date headers of all responses so far, except those from a cache; a response counts once its
  /// head was read.
  [[nodiscard]] ServerTimes& dates();

 private:
  struct State;
  explicit HttpClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Whether the linked libcurl can send several requests over one connection with HTTP/2 and without TLS. Errors:
/// kUnsupported.
Result<void> check_http2_without_tls();
/// The same for a release of libcurl as curl_version_info() numbers them: 0x075801 is 7.88.1.
[[nodiscard]] bool has_http2_without_tls(unsigned version);

/// True if a Content-Type names `type`, in whatever case and with whatever parameters (RFC 9110, section 8.3.1).
[[nodiscard]] bool has_type(std::string_view content_type, std::string_view type);

/// The sentence in the body of an error: servers nest it in different ways. The whole body if it has none.
[[nodiscard]] std::string message_in(std::string_view body);

/// Why a response is not what was asked for, in one sentence: a status other than 200, a redirect, another content type.
/// Empty if it is fine. `body` is the text of the response, as far as it came. Keys are cut out.
[[nodiscard]] std::string refusal_of(const HttpEnd& end, std::string_view body, std::string_view expected_type,
                                     const ApiKey& key);

}  // namespace secondsource
