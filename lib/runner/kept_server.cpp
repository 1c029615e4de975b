#include "runner/kept_server.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "core/enum_format.h"
#include "core/folder.h"

namespace secondsource {
namespace {

/// Waits a little. Returns true once `input` has ended; what is read from it is discarded.
bool input_has_ended(int input) {
  pollfd watched{.fd = input, .events = POLLIN, .revents = 0};
  if (::poll(&watched, 1, static_cast<int>(kInterruptPeriodNs / 1'000'000)) <= 0) return false;
  std::array<char, 256> bytes{};
  const ssize_t n_read = ::read(input, bytes.data(), bytes.size());
  return n_read == 0 || (n_read < 0 && errno != EINTR && errno != EAGAIN);
}

Error unavailable(const ServerPlan& plan, const WorkerFailure& failure, const KeptServer& kept) {
  return {ErrorCode::kUnavailable, fmt::format("{}: {}: {} (all that it wrote: {})", plan.request.name, failure.kind,
                                               failure.message, kept.log.string())};
}

}  // namespace

Result<std::string> keep_server_up(ServerPlan plan, const KeptServer& kept, const InterruptFlag& interrupt) {
  if (const std::string why = look_at_image(*plan.request.managed); !why.empty()) {
    return Error{ErrorCode::kUnavailable, plan.request.name + ": " + why};
  }
  SS_TRY_VOID(create_folder(folder_of(kept.log)));
  SS_TRY(ServerStart started, ManagedServer::start(plan, kept.log, kept.limits, interrupt));
  if (started.failure) return unavailable(plan, *started.failure, kept);
  SS_TRY_VOID(kept.ready(plan.request.url));
  while (!interrupt.requested() && !input_has_ended(kept.input)) {
    if (const WorkerOutcome ended = started.server->failure(0)) return unavailable(plan, *ended, kept);
  }
  return started.server->stop();
}

}  // namespace secondsource
