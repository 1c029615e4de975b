#include "serving/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <map>
#include <utility>

#include "core/ascii.h"
#include "core/clock.h"
#include "core/utf8.h"
#include "serving/ready_sockets.h"

namespace secondsource {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::int64_t kNsPerS = 1'000'000'000;
// A connection that cannot be opened in this time counts as refused.
constexpr long kConnectTimeoutMs = 10'000;
// Connections that stay open between requests: one for each stream that can be in flight.
constexpr long kMostConnections = 16'384;
// Servers close connections that nobody used for a while; five seconds are common. A request that is sent at that moment
// gets no answer, so a connection that was idle for longer than this is not used again. libcurl counts whole seconds, so
// that it may be up to one more.
constexpr long kLongestIdleS = 3;
constexpr std::string_view kNoAnswer = "the server closed the connection without an answer";
constexpr std::int64_t kWokenEarlyNs = 100'000;
constexpr std::int64_t kFetchId = INT64_MIN;

struct CleanEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct CleanMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Headers = std::unique_ptr<curl_slist, FreeList>;

/// A multi handle with its open connections. libcurl searches all connections of a handle for a free one, so the number
/// of requests in one lane is limited.
struct Lane {
  static constexpr std::int64_t kMostOpen = 256;
  std::unique_ptr<CURLM, CleanMulti> multi;
  std::int64_t n_open = 0;
};

struct Transfer {
  std::unique_ptr<CURL, CleanEasy> easy;
  Lane* lane = nullptr;
  std::int64_t id = 0;
  HttpCall call;
  Headers headers;
  std::array<char, CURL_ERROR_SIZE> error{};
  std::int64_t n_body_bytes = 0;
  bool was_refused = false;
  bool is_too_long = false;
  HttpHeaders head_lines;
  std::int32_t n_sendings = 0;  ///< how often libcurl began to send the request
  bool* has_progress = nullptr;
  ServerTimes* dates = nullptr;
  std::int64_t sent_ns = 0;
  std::optional<std::int64_t> date_s;  ///< of the head that is being read
  std::int64_t date_read_ns = 0;
  bool is_from_cache = false;
};

/// Called before the request is sent. libcurl sends a request again, on its own, if a connection that it had used before was
/// closed without any byte of an answer. The request was lost then, which the caller must learn.
int before_sending(void* user, char*, char*, int, int) {
  auto& transfer = *static_cast<Transfer*>(user);
  return ++transfer.n_sendings == 1 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/// Keeps the lines of the response's head that the caller wants.
void keep_headers(Transfer& transfer) {
  for (const std::string& name : transfer.call.wanted_headers) {
    curl_header* line = nullptr;
    if (curl_easy_header(transfer.easy.get(), name.c_str(), 0, CURLH_HEADER, -1, &line) == CURLHE_OK) {
      transfer.head_lines[name] = line->value;
    }
  }
}

/// The value of a line of a head, if the line has this name.
std::optional<std::string_view> value_in(std::string_view line, std::string_view name) {
  if (line.size() <= name.size() || line[name.size()] != ':') return std::nullopt;
  if (ascii_lower(line.substr(0, name.size())) != name) return std::nullopt;
  line.remove_prefix(name.size() + 1);
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = std::min(line.find_first_not_of(kSpace), line.size());
  const std::size_t end = line.find_last_not_of(kSpace) + 1;
  return line.substr(begin, std::max(begin, end) - begin);
}

/// Called for each line of a head, as it is read.
std::size_t take_head_line(char* bytes, std::size_t, std::size_t n, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(bytes, n);
  if (const auto date = value_in(line, "date")) {
    transfer.date_read_ns = now_ns();
    transfer.date_s = parse_http_date(*date);
  } else if (const auto age = value_in(line, "age")) {
    transfer.is_from_cache = !is_fresh_age(*age);
  } else if (line == "\r\n" || line == "\n") {
    if (transfer.date_s && !transfer.is_from_cache) {
      transfer.dates->add(transfer.sent_ns, transfer.date_read_ns, *transfer.date_s);
    }
    transfer.date_s.reset();
    transfer.is_from_cache = false;
  }
  return n;
}

std::size_t take_body(char* bytes, std::size_t, std::size_t n, void* user) {
  const std::int64_t at_ns = now_ns();
  auto& transfer = *static_cast<Transfer*>(user);
  *transfer.has_progress = true;
  if (transfer.n_body_bytes == 0) keep_headers(transfer);
  transfer.n_body_bytes += static_cast<std::int64_t>(n);
  transfer.is_too_long = transfer.n_body_bytes > transfer.call.max_body_bytes;
  if (transfer.is_too_long) return CURL_WRITEFUNC_ERROR;
  HttpHead head;
  curl_easy_getinfo(transfer.easy.get(), CURLINFO_RESPONSE_CODE, &head.status);
  const char* type = nullptr;
  curl_easy_getinfo(transfer.easy.get(), CURLINFO_CONTENT_TYPE, &type);
  if (type != nullptr) head.content_type = type;
  head.headers = &transfer.head_lines;
  if (transfer.call.on_body(head, {bytes, n}, at_ns)) return n;
  transfer.was_refused = true;
  return CURL_WRITEFUNC_ERROR;
}

/// Reads a time in microseconds, as libcurl reports it.
std::int64_t time_of(CURL* easy, CURLINFO info) {
  curl_off_t us = 0;
  curl_easy_getinfo(easy, info, &us);
  return static_cast<std::int64_t>(us) * 1000;
}

std::optional<ConnectionTimes> connection_of(CURL* easy) {
  long n_opened = 0;
  curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &n_opened);
  const std::int64_t connected_ns = time_of(easy, CURLINFO_CONNECT_TIME_T);
  if (n_opened == 0 || connected_ns == 0) return std::nullopt;
  const std::int64_t resolved_ns = time_of(easy, CURLINFO_NAMELOOKUP_TIME_T);
  const std::int64_t secured_ns = time_of(easy, CURLINFO_APPCONNECT_TIME_T);
  return ConnectionTimes{resolved_ns, std::max<std::int64_t>(0, connected_ns - resolved_ns),
                         std::max<std::int64_t>(0, secured_ns - connected_ns)};
}

/// Why a request was given up that took too long.
std::string lateness_of(const Transfer& transfer) {
  const auto seconds = [](std::int64_t ns) { return static_cast<double>(ns) * 1e-9; };
  const std::int64_t spent_ns = now_ns() - transfer.sent_ns;
  if (transfer.n_sendings == 0) return fmt::format("no connection within {:.3g} s", seconds(spent_ns));
  const std::int64_t stall_ns = transfer.call.stall_timeout_ns;
  if (stall_ns > 0) return fmt::format("nothing came for {:g} s", seconds(stall_ns));
  // libcurl waited for another connection, to send the request again.
  if (spent_ns < transfer.call.timeout_ns - kNsPerMs) return std::string(kNoAnswer);
  return fmt::format("no whole response within {:g} s", seconds(transfer.call.timeout_ns));
}

std::string reason_of(const Transfer& transfer, CURLcode code) {
  if (transfer.is_too_long) {
    return fmt::format("expected a response of at most {} bytes, found a longer one", transfer.call.max_body_bytes);
  }
  if (transfer.was_refused) return "";
  if (code == CURLE_OK) return "";
  if (code == CURLE_GOT_NOTHING || transfer.n_sendings > 1) return std::string(kNoAnswer);
  if (code == CURLE_OPERATION_TIMEDOUT) return lateness_of(transfer);
  const std::string detail = transfer.error.front() == '\0' ? "" : std::string(": ") + transfer.error.data();
  return shown(fmt::format("{}{}", curl_easy_strerror(code), detail));
}

HttpEnd end_of(Transfer& transfer, CURLcode code) {
  CURL* const easy = transfer.easy.get();
  HttpEnd end;
  keep_headers(transfer);
  end.headers = std::move(transfer.head_lines);
  end.id = transfer.id;
  end.error = reason_of(transfer, code);
  end.was_refused = transfer.was_refused;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &end.status);
  const char* text = nullptr;
  if (curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &text) == CURLE_OK && text != nullptr) end.content_type = text;
  text = nullptr;
  if (curl_easy_getinfo(easy, CURLINFO_REDIRECT_URL, &text) == CURLE_OK && text != nullptr) end.redirect = text;
  curl_off_t retry_s = 0;
  curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_s);
  if (retry_s > 0) end.retry_after_s = retry_s;
  long version = 0;
  curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
  end.http_version = version == CURL_HTTP_VERSION_2_0 ? 20 : version == CURL_HTTP_VERSION_1_1 ? 11 : 0;
  end.connection = connection_of(easy);
  return end;
}

}  // namespace

struct HttpClient::State {
  State(HttpSettings given, ReadySockets ready) : settings(std::move(given)), sockets(std::move(ready)) {}
  ~State() {
    for (auto& [id, transfer] : open) curl_multi_remove_handle(transfer->lane->multi.get(), transfer->easy.get());
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Result<Lane*> add_lane();
  Result<Lane*> lane_for(const HttpCall& call);
  void set_options(Transfer& transfer) const;
  void take_ends(std::vector<HttpEnd>& ends);

  HttpSettings settings;
  ReadySockets sockets;    ///< before the lanes, which report to it until their end
  std::deque<Lane> lanes;  ///< at least one; transfers have their addresses
  std::map<std::int64_t, std::unique_ptr<Transfer>> open;
  std::vector<std::unique_ptr<CURL, CleanEasy>> spare;  ///< handles of requests that ended, to be used again
  bool has_progress = false;
  ConnectionTotals connections;
  ServerTimes dates;
};

HttpClient::HttpClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;

Result<HttpClient> HttpClient::create(HttpSettings settings) {
  static const CURLcode kInitialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (kInitialized != CURLE_OK) return Error{ErrorCode::kOutOfMemory, "libcurl cannot be started"};
  const curl_version_info_data* info = curl_version_info(CURLVERSION_NOW);
  if (settings.version == HttpVersion::kHttp2 && (info->features & CURL_VERSION_HTTP2) == 0) {
    return Error{ErrorCode::kUnsupported, fmt::format("libcurl {} was built without HTTP/2", info->version)};
  }
  SS_TRY(ReadySockets sockets, ReadySockets::create());
  auto state = std::make_unique<State>(std::move(settings), std::move(sockets));
  SS_TRY_VOID(state->add_lane());
  return HttpClient(std::move(state));
}

Result<void> check_http2_without_tls() {
  const curl_version_info_data* info = curl_version_info(CURLVERSION_NOW);
  if (has_http2_without_tls(info->version_num)) return {};
  return Error{
      ErrorCode::kUnsupported,
      fmt::format("libcurl {} fails at the second request of a connection with HTTP/2 and without TLS: expected "
                  "an https URL, http=1.1, or a program that is linked with libcurl 8.0 or newer",
                  info->version)};
}

Result<Lane*> HttpClient::State::add_lane() {
  Lane lane{.multi = std::unique_ptr<CURLM, CleanMulti>(curl_multi_init())};
  if (lane.multi == nullptr) return Error{ErrorCode::kOutOfMemory, "libcurl cannot be started"};
  curl_multi_setopt(lane.multi.get(), CURLMOPT_MAXCONNECTS, kMostConnections);
  sockets.attach(lane.multi.get());
  lanes.push_back(std::move(lane));
  return &lanes.back();
}

/// The first lane with room, so that a free connection of an earlier lane is used before a later one opens its own.
Result<Lane*> HttpClient::State::lane_for(const HttpCall& call) {
  // Requests over HTTP/2 share one connection, which belongs to one lane.
  const bool may_be_http2 = settings.version == HttpVersion::kHttp2 ||
                            (settings.version == HttpVersion::kAutomatic && call.url.starts_with("https:"));
  if (may_be_http2) return &lanes.front();
  for (Lane& lane : lanes) {
    if (lane.n_open < Lane::kMostOpen) return &lane;
  }
  return add_lane();
}

const ApiKey& HttpClient::key() const {
  return state_->settings.key;
}

const ConnectionTotals& HttpClient::connections() const {
  return state_->connections;
}

ServerTimes& HttpClient::dates() {
  return state_->dates;
}

void HttpClient::State::set_options(Transfer& transfer) const {
  CURL* const easy = transfer.easy.get();
  const auto set = [easy](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
  set(CURLOPT_URL, transfer.call.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  if (!settings.takes_proxy) set(CURLOPT_PROXY, "");
  // Honours the variables of OpenSSL, by which companies name their own certificate authorities.
  if (const char* authorities = std::getenv("SSL_CERT_FILE")) set(CURLOPT_CAINFO, authorities);
  set(CURLOPT_MAXAGE_CONN, kLongestIdleS);
  set(CURLOPT_PREREQFUNCTION, &before_sending);
  set(CURLOPT_PREREQDATA, &transfer);
  set(CURLOPT_FRESH_CONNECT, transfer.call.opens_connection ? 1L : 0L);
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<std::int64_t>(1, transfer.call.timeout_ns / kNsPerMs)));
  set(CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  if (transfer.call.stall_timeout_ns > 0) {
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);  // bytes a second
    set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(std::max<std::int64_t>(1, transfer.call.stall_timeout_ns / kNsPerS)));
  }
  // Asks for no compression, which would hold events back; what is compressed nevertheless is decompressed.
  set(CURLOPT_ACCEPT_ENCODING, "identity");
  const bool is_tls = transfer.call.url.starts_with("https:");
  switch (settings.version) {
    case HttpVersion::kAutomatic:
      set(CURLOPT_HTTP_VERSION, static_cast<long>(is_tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
      break;
    case HttpVersion::kHttp1:
      set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
      break;
    case HttpVersion::kHttp2:
      set(CURLOPT_HTTP_VERSION,
          static_cast<long>(is_tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
      // Requests wait for the one connection instead of opening their own.
      set(CURLOPT_PIPEWAIT, 1L);
      break;
  }
  curl_slist* headers = nullptr;
  const auto add = [&headers](const std::string& line) { headers = curl_slist_append(headers, line.c_str()); };
  add("Accept: " + std::string(transfer.call.accept));
  add("User-Agent: secondsource");
  add("Expect:");
  if (!settings.key.is_empty() && transfer.call.sends_key) add("Authorization: " + settings.key.authorization());
  for (const std::string& line : transfer.call.headers) add(line);
  if (!transfer.call.body.empty()) {
    add("Content-Type: application/json");
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(transfer.call.body.size()));
    set(CURLOPT_POSTFIELDS, transfer.call.body.c_str());
  }
  transfer.headers.reset(headers);
  set(CURLOPT_HTTPHEADER, headers);
  set(CURLOPT_ERRORBUFFER, transfer.error.data());
  set(CURLOPT_HEADERFUNCTION, &take_head_line);
  set(CURLOPT_HEADERDATA, &transfer);
  set(CURLOPT_WRITEFUNCTION, &take_body);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_PRIVATE, &transfer);
}

Result<void> HttpClient::start(std::int64_t id, HttpCall call) {
  auto transfer = std::make_unique<Transfer>();
  if (state_->spare.empty()) {
    transfer->easy.reset(curl_easy_init());
  } else {
    transfer->easy = std::move(state_->spare.back());
    state_->spare.pop_back();
    curl_easy_reset(transfer->easy.get());
  }
  if (transfer->easy == nullptr) return Error{ErrorCode::kOutOfMemory, "no memory for another request"};
  transfer->id = id;
  transfer->call = std::move(call);
  transfer->has_progress = &state_->has_progress;
  transfer->dates = &state_->dates;
  state_->set_options(*transfer);
  SS_TRY(transfer->lane, state_->lane_for(transfer->call));
  transfer->sent_ns = now_ns();
  const CURLMcode added = curl_multi_add_handle(transfer->lane->multi.get(), transfer->easy.get());
  if (added != CURLM_OK) return Error{ErrorCode::kOutOfMemory, curl_multi_strerror(added)};
  ++transfer->lane->n_open;
  state_->open[id] = std::move(transfer);
  // Sends what can be sent without waiting.
  SS_TRY_VOID(state_->sockets.work_due());
  return {};
}

void HttpClient::cancel(std::int64_t id) {
  const auto found = state_->open.find(id);
  if (found == state_->open.end()) return;
  Lane& lane = *found->second->lane;
  curl_multi_remove_handle(lane.multi.get(), found->second->easy.get());
  --lane.n_open;
  state_->open.erase(found);
}

void HttpClient::cancel_all() {
  while (!state_->open.empty()) cancel(state_->open.begin()->first);
}

void HttpClient::State::take_ends(std::vector<HttpEnd>& ends) {
  for (Lane& lane : lanes) {
    int n_left = 0;
    while (const CURLMsg* message = curl_multi_info_read(lane.multi.get(), &n_left)) {
      if (message->msg != CURLMSG_DONE) continue;
      Transfer* transfer = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      ends.push_back(end_of(*transfer, message->data.result));
      if (ends.back().connection) connections.add(*ends.back().connection);
      curl_multi_remove_handle(lane.multi.get(), transfer->easy.get());
      --lane.n_open;
      spare.push_back(std::move(transfer->easy));
      open.erase(transfer->id);
    }
  }
}

Result<void> HttpClient::poll(std::int64_t until_ns, std::vector<HttpEnd>& ends) {
  const std::size_t n_ends = ends.size();
  const auto has_news = [&] {
    state_->take_ends(ends);
    return std::exchange(state_->has_progress, false) || ends.size() > n_ends;
  };
  // start() may have received a whole answer already, and then no socket would end a wait.
  if (has_news()) return {};
  do {
    // The kernel wakes a process some ten microseconds late. The wait therefore ends earlier and the loop spins for the
    // rest, so that no request is sent late.
    SS_TRY_VOID(state_->sockets.work(until_ns - kWokenEarlyNs));
  } while (!has_news() && now_ns() < until_ns);
  return {};
}

Result<HttpReply> HttpClient::fetch(HttpCall call, const std::function<void()>& on_wait) {
  constexpr std::int64_t kSliceNs = 200 * kNsPerMs;
  HttpReply reply;
  const std::string url = call.url;
  call.on_body = [&reply](const HttpHead&, std::string_view bytes, std::int64_t) {
    reply.body += bytes;
    return true;
  };
  SS_TRY_VOID(start(kFetchId, std::move(call)));
  std::vector<HttpEnd> ends;
  while (ends.empty()) {
    if (on_wait) on_wait();
    if (const Result<void> polled = poll(now_ns() + kSliceNs, ends); !polled) {
      cancel(kFetchId);
      return polled.error();
    }
  }
  reply.end = std::move(ends.front());
  if (reply.end.error.empty()) return reply;
  return Error{ErrorCode::kUnavailable, key().cut_from(fmt::format("{}: {}", url, reply.end.error))};
}

}  // namespace secondsource
