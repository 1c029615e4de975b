#include "systems/adapter_process.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/clock.h"

namespace secondsource {
namespace {

constexpr std::int64_t kWaitPeriodNs = 200'000'000;
// A process that ends closes its pipe a little before it can be waited for.
constexpr std::int64_t kEndNs = 2'000'000'000;
constexpr std::int64_t kStopNs = 5'000'000'000;

ErrorCode code_of(AdapterFailureKind kind) {
  switch (kind) {
    case AdapterFailureKind::kInvalidInput:
      return ErrorCode::kInvalidInput;
    case AdapterFailureKind::kUnavailable:
      return ErrorCode::kUnavailable;
    case AdapterFailureKind::kUnsupported:
      return ErrorCode::kUnsupported;
    case AdapterFailureKind::kOutOfMemory:
      return ErrorCode::kOutOfMemory;
    case AdapterFailureKind::kError:
      break;
  }
  return ErrorCode::kInternal;
}

/// The error for a line that breaks the protocol. It blames the adapter and not the user's input.
Error broken(const Error& error) {
  return {ErrorCode::kIo,
          error.message.starts_with("the adapter") ? error.message : "the adapter wrote " + error.message};
}

ChildCommand command_of(const AdapterSystem& system, const AdapterPlace& place) {
  ChildCommand command;
  command.program = "/usr/bin/env";
  command.arguments = system.start;
  command.environment = system.env;
  command.limits = place.limits;
  command.stderr_file = place.log;
  command.longest_line_bytes = kLongestAdapterLine;
  return command;
}

}  // namespace

void take_hello(AdapterSystem& system, const AdapterHello& hello) {
  system.runtime = hello.runtime;
  system.versions = hello.versions;
  system.settings = hello.settings;
  system.tokens = hello.tokens;
  system.forced = hello.forced;
  system.max_in_flight = hello.max_in_flight;
}

Result<AdapterProcess> AdapterProcess::start(const AdapterSystem& system, const AdapterPlace& place,
                                             const AdapterWait& wait) {
  ChildWatch watch(place.log);
  SS_TRY(ChildProcess process, ChildProcess::start(command_of(system, place)));
  AdapterProcess adapter(std::move(process), std::move(watch), system.start_deadline_s);
  SS_TRY_VOID(adapter.send(AdapterHelloRequest{.options = system.options}));
  SS_TRY(adapter.hello_, adapter.await<AdapterHello>("said hello", wait));
  if (adapter.hello_.protocol != kAdapterProtocol) {
    return Error{ErrorCode::kIo, fmt::format("the adapter speaks version {} of the protocol, expected {}",
                                             adapter.hello_.protocol, kAdapterProtocol)};
  }
  return adapter;
}

Result<void> AdapterProcess::load(const std::string& folder, const AdapterWait& wait) {
  SS_TRY_VOID(send(AdapterLoadRequest{folder}));
  SS_TRY_VOID(await<AdapterLoaded>("loaded its model", wait));
  return {};
}

Result<void> AdapterProcess::send(const AdapterRequest& request) {
  if (process_.send(to_line(request))) return {};
  return ended();
}

Result<std::optional<AdapterAnswer>> AdapterProcess::receive(std::int64_t until_ns) {
  const Result<std::optional<std::string>> line = process_.receive(until_ns);
  if (!line && line.error().code == ErrorCode::kDeviceLost) return ended();
  if (!line) return line.error().code == ErrorCode::kInvalidInput ? broken(line.error()) : line.error();
  if (!*line) return std::optional<AdapterAnswer>();
  Result<AdapterAnswer> answer = adapter_answer_from_line(**line);
  if (!answer) return broken(answer.error());
  if (const auto* failure = std::get_if<AdapterFailure>(&*answer)) {
    return Error{code_of(failure->kind), "the adapter: " + failure->message};
  }
  return std::optional(*std::move(answer));
}

template <typename Answer>
Result<Answer> AdapterProcess::await(std::string_view what, const AdapterWait& wait) {
  const std::int64_t until_ns = now_ns() + static_cast<std::int64_t>(1e9 * start_deadline_s_);
  while (true) {
    SS_TRY_VOID(wait());
    SS_TRY(std::optional<AdapterAnswer> answer, receive(std::min(until_ns, now_ns() + kWaitPeriodNs)));
    if (answer) {
      if (auto* expected = std::get_if<Answer>(&*answer)) return std::move(*expected);
      return Error{ErrorCode::kIo,
                   fmt::format("the adapter answered with a \"{}\" before it had {}",
                               tags_of(std::type_identity<AdapterAnswer>()).names[answer->index()], what)};
    }
    if (now_ns() >= until_ns) {
      const std::string last = watch_.last_line();
      return Error{ErrorCode::kDeadline, fmt::format("the adapter had not {} after {:g} s{}{}", what, start_deadline_s_,
                                                     last.empty() ? "" : "; it wrote last: ", last)};
    }
  }
}

Error AdapterProcess::ended() {
  const auto exit = process_.wait(now_ns() + kEndNs);
  if (!exit) return {ErrorCode::kDeviceLost, "the adapter closed its pipe but did not end"};
  const ChildFailure failure = watch_.failure_of(*exit, "the adapter");
  const bool is_memory = failure.kind == FailureKind::kOutOfMemory;
  return {is_memory ? ErrorCode::kOutOfMemory : ErrorCode::kDeviceLost, failure.message};
}

void AdapterProcess::stop() {
  const std::int64_t until_ns = now_ns() + kStopNs;
  if (process_.send(to_line(AdapterStopRequest{}))) {
    // Reads what the adapter still writes until it closes its end.
    while (now_ns() < until_ns && process_.receive(until_ns)) {
    }
  }
  if (!process_.wait(until_ns)) process_.kill();
  process_.kill_group();
}

}  // namespace secondsource
