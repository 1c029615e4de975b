#include "systems/null_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <queue>
#include <utility>

#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/number.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::size_t kLongestRequest = std::size_t{8} << 20;
constexpr std::int64_t kMostTokensOfAnswer = 1'000'000;
constexpr int kMostWaiting = 16'384;  // connections that are not accepted yet; the kernel may allow fewer
constexpr std::string_view kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

std::int64_t process_cpu_ns() {
  timespec spent{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return std::int64_t{spent.tv_sec} * 1'000'000'000 + spent.tv_nsec;
}

std::string whole_response(std::string_view status, std::string_view type, std::string_view body) {
  return fmt::format("HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}", status, type, body.size(),
                     body);
}

/// One piece of a body in chunked transfer encoding.
void append_chunk(std::string& to, std::string_view bytes) {
  fmt::format_to(std::back_inserter(to), "{:x}\r\n{}\r\n", bytes.size(), bytes);
}

/// One token, as vLLM 0.10 writes it with continuous usage.
void append_event(std::string& to, std::int64_t n_sent, bool is_last) {
  std::array<char, 512> event{};
  const auto end = fmt::format_to_n(
      event.data(), event.size(),
      R"(data: {{"id":"cmpl-0123456789abcdef0123456789abcdef","object":"text_completion","created":1763800000,)"
      R"("model":"null","choices":[{{"index":0,"text":" word","logprobs":null,"finish_reason":{},"stop_reason":null,)"
      R"("token_ids":[{}]}}],"usage":{{"prompt_tokens":1,"total_tokens":{},"completion_tokens":{}}}}})"
      "\n\n",
      is_last ? "\"length\"" : "null", 5 + n_sent % 100, n_sent + 1, n_sent);
  append_chunk(to, {event.data(), end.size});
}

/// A request as far as this server needs it.
struct NullRequest {
  std::string_view method, target, body;
  std::size_t n_bytes = 0;
};

/// The length of the body that the header announces; nullopt if it is not a number. 0 without the header.
std::optional<std::size_t> content_length(std::string_view head) {
  constexpr std::string_view kName = "content-length:";
  while (!head.empty()) {
    const std::string_view line = head.substr(0, head.find("\r\n"));
    head.remove_prefix(std::min(line.size() + 2, head.size()));
    const bool is_it =
        line.size() > kName.size() && std::equal(kName.begin(), kName.end(), line.begin(), [](char name, char found) {
          return name == static_cast<char>(std::tolower(static_cast<unsigned char>(found)));
        });
    if (!is_it) continue;
    std::string_view value = line.substr(kName.size());
    while (value.starts_with(' ')) value.remove_prefix(1);
    return parse_number<std::size_t>(value);
  }
  return 0;
}

/// The first request in `bytes`; a method that is empty means that it is not whole yet. Errors: kInvalidInput.
Result<NullRequest> first_request(std::string_view bytes) {
  const Error bad{ErrorCode::kInvalidInput, "expected a request of HTTP/1.1 with the length of its body"};
  const std::size_t head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string_view::npos) {
    if (bytes.size() > kLongestRequest) return bad;
    return NullRequest{};
  }
  const std::string_view head = bytes.substr(0, head_end + 2);
  const auto n_body = content_length(head);
  if (!n_body || *n_body > kLongestRequest) return bad;
  const std::size_t body_at = head_end + 4;
  if (bytes.size() - body_at < *n_body) return NullRequest{};
  const std::size_t method_end = head.find(' ');
  const std::size_t target_end = method_end == std::string_view::npos ? method_end : head.find(' ', method_end + 1);
  if (target_end == std::string_view::npos || method_end == 0) return bad;
  return NullRequest{head.substr(0, method_end), head.substr(method_end + 1, target_end - method_end - 1),
                     bytes.substr(body_at, *n_body), body_at + *n_body};
}

struct Asked {
  std::int64_t tag = 0;
  std::int64_t n_tokens = 0;
};

Result<Asked> asked_by(std::string_view body) {
  constexpr const char* kName = "the request";
  SS_TRY(const nlohmann::json tree, parse_json(body, kName));
  SS_TRY(const JsonFields fields, JsonFields::of(tree, kName));
  Asked asked;
  SS_TRY(asked.n_tokens, fields.integer("max_tokens", {.min = 1, .max = kMostTokensOfAnswer}));
  const nlohmann::json* prompt = fields.find("prompt");
  if (prompt == nullptr || !prompt->is_array() || prompt->empty() || !prompt->front().is_number_integer()) {
    return fields.mismatch("prompt", "a list of token ids");
  }
  asked.tag = prompt->front().get<std::int64_t>();
  return asked;
}

}  // namespace

struct NullServer::State {
  struct Connection {
    FileDescriptor socket;
    std::string received;
    std::string unsent;                 ///< bytes that the kernel has not accepted yet
    std::optional<std::size_t> answer;  ///< the answer that is being streamed
    std::int64_t n_asked = 0;
    bool waits_to_write = false;
  };
  struct Due {
    std::int64_t at_ns = 0;
    int socket = -1;
    std::size_t answer = 0;
    friend bool operator<(const Due& a, const Due& b) { return a.at_ns > b.at_ns; }  // the earliest is on top
  };

  Result<void> watch(int socket, std::uint32_t events, int operation) const;
  Result<void> accept_all();
  Result<void> take_event(const epoll_event& event);
  Result<void> read_from(int socket);
  Result<void> answer_requests(int socket, std::int64_t at_ns);
  Result<void> send_due();
  Result<void> write_to(int socket, std::string_view bytes);
  void begin(int socket, const Asked& asked, std::int64_t at_ns);
  void close(int socket);
  [[nodiscard]] std::string stamps() const;

  NullServerSchedule schedule;
  FileDescriptor listener;
  FileDescriptor events;
  int port = 0;
  std::map<int, Connection> connections;
  std::vector<NullAnswer> answers;
  std::priority_queue<Due> due;
  std::string event_text;
};

NullServer::NullServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
NullServer::~NullServer() = default;
NullServer::NullServer(NullServer&&) noexcept = default;

int NullServer::port() const {
  return state_->port;
}

Result<NullServer> NullServer::listen(NullServerSchedule schedule, int port) {
  auto state = std::make_unique<State>();
  state->schedule = schedule;
  state->listener = FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  state->events = FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
  if (!state->listener.is_open() || !state->events.is_open()) return errno_error("the null server", "open a socket");
  const int yes = 1;
  ::setsockopt(state->listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(state->listener.get(), generic, sizeof address) != 0 ||
      ::listen(state->listener.get(), kMostWaiting) != 0) {
    return Error{ErrorCode::kUnavailable, fmt::format("127.0.0.1:{}: expected a free port, found a taken one", port)};
  }
  socklen_t size = sizeof address;
  ::getsockname(state->listener.get(), generic, &size);
  state->port = ntohs(address.sin_port);
  SS_TRY_VOID(state->watch(state->listener.get(), EPOLLIN, EPOLL_CTL_ADD));
  return NullServer(std::move(state));
}

Result<void> NullServer::State::watch(int socket, std::uint32_t what, int operation) const {
  epoll_event event{};
  event.events = what;
  event.data.fd = socket;
  if (::epoll_ctl(events.get(), operation, socket, &event) != 0)
    return errno_error("the null server", "watch a socket");
  return {};
}

Result<void> NullServer::serve(const InterruptFlag& interrupt) {
  std::array<epoll_event, 256> ready{};
  while (!interrupt.requested()) {
    SS_TRY_VOID(state_->send_due());
    std::int64_t wait_ns = kInterruptPeriodNs;
    if (!state_->due.empty()) wait_ns = std::clamp<std::int64_t>(state_->due.top().at_ns - now_ns(), 0, wait_ns);
    int n_ready = ::epoll_wait(state_->events.get(), ready.data(), ready.size(), 0);
    if (n_ready == 0 && wait_ns > 0) {
      // epoll_wait() knows whole milliseconds alone.
      pollfd any{state_->events.get(), POLLIN, 0};
      const timespec wait{wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
      if (::ppoll(&any, 1, &wait, nullptr) > 0) {
        n_ready = ::epoll_wait(state_->events.get(), ready.data(), ready.size(), 0);
      }
    }
    for (int index = 0; index < n_ready; ++index) {
      SS_TRY_VOID(state_->take_event(ready[static_cast<std::size_t>(index)]));
    }
  }
  return {};
}

Result<void> NullServer::State::take_event(const epoll_event& event) {
  const int socket = event.data.fd;
  if (socket == listener.get()) return accept_all();
  if ((event.events & EPOLLOUT) != 0 && connections.contains(socket)) {
    const std::string unsent = std::exchange(connections[socket].unsent, {});
    SS_TRY_VOID(write_to(socket, unsent));
  }
  if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && connections.contains(socket)) return read_from(socket);
  return {};
}

Result<void> NullServer::State::accept_all() {
  while (true) {
    FileDescriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.is_open()) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return {};
      return errno_error("the null server", "accept a connection");
    }
    const int yes = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    const int number = socket.get();
    SS_TRY_VOID(watch(number, EPOLLIN, EPOLL_CTL_ADD));
    connections[number].socket = std::move(socket);
  }
}

void NullServer::State::close(int socket) {
  connections.erase(socket);
}

Result<void> NullServer::State::read_from(int socket) {
  std::array<char, 16'384> bytes{};
  const ssize_t n_read = ::recv(socket, bytes.data(), bytes.size(), 0);
  if (n_read < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (n_read <= 0) {
    close(socket);
    return {};
  }
  connections[socket].received.append(bytes.data(), static_cast<std::size_t>(n_read));
  return answer_requests(socket, now_ns());
}

Result<void> NullServer::State::answer_requests(int socket, std::int64_t at_ns) {
  while (true) {
    const auto found = connections.find(socket);
    if (found == connections.end() || found->second.answer) return {};
    Connection& connection = found->second;
    const Result<NullRequest> request = first_request(connection.received);
    if (request && request->method.empty()) return {};
    std::string response;
    if (!request) {
      response = whole_response("400 Bad Request", "text/plain", request.error().message);
    } else if (request->method == "GET" && request->target == "/v1/models") {
      response = whole_response("200 OK", "application/json", R"({"object":"list","data":[{"id":"null"}]})");
    } else if (request->method == "GET" && request->target == "/stamps") {
      response = whole_response("200 OK", "text/plain", stamps());
    } else if (request->method == "POST" && request->target == "/v1/completions") {
      const Result<Asked> asked = asked_by(request->body);
      if (asked) begin(socket, *asked, at_ns);
      if (!asked) response = whole_response("400 Bad Request", "text/plain", asked.error().message);
    } else {
      response = whole_response("404 Not Found", "text/plain", "expected /v1/completions, /v1/models or /stamps");
    }
    connection.received.erase(0, request ? request->n_bytes : connection.received.size());
    if (!response.empty()) SS_TRY_VOID(write_to(socket, response));
  }
}

void NullServer::State::begin(int socket, const Asked& asked, std::int64_t at_ns) {
  Connection& connection = connections[socket];
  connection.answer = answers.size();
  connection.n_asked = asked.n_tokens;
  NullAnswer answer{asked.tag, at_ns, {}};
  answer.sent_ns.reserve(static_cast<std::size_t>(asked.n_tokens));
  answers.push_back(std::move(answer));
  due.push({at_ns + schedule.first_token_ns, socket, *connection.answer});
}

Result<void> NullServer::State::send_due() {
  // Limits the events sent in a row, so that requests are read in between.
  constexpr int kMostAtOnce = 256;
  for (int n_sent = 0; n_sent < kMostAtOnce && !due.empty(); ++n_sent) {
    const std::int64_t now = now_ns();
    const Due next = due.top();
    if (next.at_ns > now) return {};
    due.pop();
    const auto found = connections.find(next.socket);
    // The client has closed this connection, and a new one may have the same socket number.
    if (found == connections.end() || found->second.answer != next.answer) continue;
    Connection& connection = found->second;
    NullAnswer& answer = answers[next.answer];
    event_text.clear();
    if (answer.sent_ns.empty()) event_text += kStreamHead;
    const std::int64_t n_tokens = static_cast<std::int64_t>(answer.sent_ns.size()) + 1;
    const bool is_last = n_tokens == connection.n_asked;
    append_event(event_text, n_tokens, is_last);
    if (is_last) {
      append_chunk(event_text, "data: [DONE]\n\n");
      event_text += "0\r\n\r\n";
      connection.answer.reset();
    } else {
      due.push({next.at_ns + schedule.token_gap_ns, next.socket, next.answer});
    }
    answer.sent_ns.push_back(now_ns());
    SS_TRY_VOID(write_to(next.socket, event_text));
    if (is_last) SS_TRY_VOID(answer_requests(next.socket, now_ns()));
  }
  return {};
}

Result<void> NullServer::State::write_to(int socket, std::string_view bytes) {
  Connection& connection = connections[socket];
  if (connection.unsent.empty()) {
    const ssize_t n_sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n_sent < 0 && errno != EAGAIN && errno != EINTR) {
      close(socket);
      return {};
    }
    bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n_sent, 0)));
  }
  connection.unsent += bytes;
  const bool waits = !connection.unsent.empty();
  if (waits == connection.waits_to_write) return {};
  connection.waits_to_write = waits;
  return watch(socket, waits ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
}

std::string NullServer::State::stamps() const {
  std::string text = fmt::format("cpu_ns {}\n", process_cpu_ns());
  for (const NullAnswer& answer : answers) {
    fmt::format_to(std::back_inserter(text), "{} {}", answer.tag, answer.received_ns);
    for (const std::int64_t at_ns : answer.sent_ns) fmt::format_to(std::back_inserter(text), " {}", at_ns);
    text += '\n';
  }
  return text;
}

Result<NullStamps> parse_null_stamps(std::string_view text) {
  const auto bad = [](std::string_view line) {
    return Error{ErrorCode::kInvalidInput, fmt::format("stamps: expected whole numbers, found {}", in_quotes(line))};
  };
  NullStamps stamps;
  bool is_first = true;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    std::string_view rest = line;
    if (std::exchange(is_first, false)) {
      constexpr std::string_view kCpu = "cpu_ns ";
      if (!rest.starts_with(kCpu) || !read_number(rest.substr(kCpu.size()), stamps.cpu_ns)) return bad(line);
      continue;
    }
    std::vector<std::int64_t> numbers;
    while (!rest.empty()) {
      const std::string_view word = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(word.size() + 1, rest.size()));
      std::int64_t number = 0;
      if (!read_number(word, number)) return bad(line);
      numbers.push_back(number);
    }
    if (numbers.size() < 2) return bad(line);
    stamps.answers.push_back({numbers[0], numbers[1], {numbers.begin() + 2, numbers.end()}});
  }
  if (is_first) return bad("");
  return stamps;
}

}  // namespace secondsource
