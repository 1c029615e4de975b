#include "serving/ready_sockets.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include "core/clock.h"

namespace secondsource {
namespace {

// At most so many sockets are read before their events are passed on and requests that are due are sent.
constexpr int kMostAtOnce = 64;
constexpr std::int64_t kNsOfMs = 1'000'000;

Result<void> let_act(CURLM* multi, curl_socket_t socket, int what) {
  int n_running = 0;
  const CURLMcode done = curl_multi_socket_action(multi, socket, what, &n_running);
  if (done == CURLM_OK) return {};
  return Error{ErrorCode::kInternal, fmt::format("libcurl: {}", curl_multi_strerror(done))};
}

/// Which multi handle a socket belongs to, and the socket.
std::uint64_t mark_of(std::uint32_t index, curl_socket_t socket) {
  return (std::uint64_t{index} << 32) | static_cast<std::uint32_t>(socket);
}

}  // namespace

Result<ReadySockets> ReadySockets::create() {
  FileDescriptor events(::epoll_create1(EPOLL_CLOEXEC));
  if (!events.is_open()) return errno_error("the client of servers", "watch sockets");
  return ReadySockets(std::move(events));
}

void ReadySockets::attach(CURLM* multi) {
  Watched& watched = watched_.emplace_back();
  watched.events = events_.get();
  watched.index = static_cast<std::uint32_t>(watched_.size() - 1);
  watched.multi = multi;
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, &watched);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &on_deadline);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, &watched);
}

int ReadySockets::on_socket(CURL*, curl_socket_t socket, int what, void* user, void* known) {
  const auto& watched = *static_cast<Watched*>(user);
  if (what == CURL_POLL_REMOVE) {
    // The call fails for a closed socket, which epoll no longer watches anyway.
    ::epoll_ctl(watched.events, EPOLL_CTL_DEL, socket, nullptr);
    return 0;
  }
  epoll_event event{};
  event.data.u64 = mark_of(watched.index, socket);
  if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
  if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
  // The kernel removes a closed socket from the set, and a new socket may get the same number.
  const bool is_known = known != nullptr && ::epoll_ctl(watched.events, EPOLL_CTL_MOD, socket, &event) == 0;
  if (!is_known && ::epoll_ctl(watched.events, EPOLL_CTL_ADD, socket, &event) != 0 && errno == EEXIST) {
    ::epoll_ctl(watched.events, EPOLL_CTL_MOD, socket, &event);
  }
  curl_multi_assign(watched.multi, socket, user);
  return 0;
}

int ReadySockets::on_deadline(CURLM*, long in_ms, void* user) {
  auto& watched = *static_cast<Watched*>(user);
  watched.deadline_ns.reset();
  if (in_ms >= 0) watched.deadline_ns = now_ns() + std::int64_t{in_ms} * kNsOfMs;
  return 0;
}

Result<bool> ReadySockets::work_due() {
  bool was_due = false;
  const std::int64_t now = now_ns();
  for (Watched& watched : watched_) {
    if (!watched.deadline_ns || *watched.deadline_ns > now) continue;
    watched.deadline_ns.reset();
    was_due = true;
    SS_TRY_VOID(let_act(watched.multi, CURL_SOCKET_TIMEOUT, 0));
  }
  return was_due;
}

Result<void> ReadySockets::work(std::int64_t until_ns) {
  SS_TRY(const bool was_due, work_due());
  for (const Watched& watched : watched_) {
    if (watched.deadline_ns) until_ns = std::min(until_ns, *watched.deadline_ns);
  }
  const std::int64_t wait_ns = was_due ? 0 : std::max<std::int64_t>(until_ns - now_ns(), 0);
  // epoll_wait() takes whole milliseconds only; the rest below one millisecond is waited for with ppoll().
  const auto wait_ms = static_cast<int>(std::min<std::int64_t>(wait_ns / kNsOfMs, 1000));
  if (wait_ms == 0 && wait_ns > 0) {
    pollfd any{events_.get(), POLLIN, 0};
    const timespec wait{0, wait_ns};
    if (::ppoll(&any, 1, &wait, nullptr) <= 0) return {};
  }
  std::array<epoll_event, kMostAtOnce> ready{};
  const int n_ready = ::epoll_wait(events_.get(), ready.data(), kMostAtOnce, wait_ms);
  for (int place = 0; place < n_ready; ++place) {
    const epoll_event& event = ready[static_cast<std::size_t>(place)];
    int what = 0;
    if ((event.events & EPOLLIN) != 0) what |= CURL_CSELECT_IN;
    if ((event.events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
    if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) what |= CURL_CSELECT_ERR;
    const auto socket = static_cast<curl_socket_t>(event.data.u64 & 0xffff'ffffU);
    SS_TRY_VOID(let_act(watched_[event.data.u64 >> 32].multi, socket, what));
  }
  return {};
}

}  // namespace secondsource
