#include "runner/managed_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "core/clock.h"
#include "core/number.h"
#include "core/staging.h"
#include "core/units.h"
#include "core/utf8.h"
#include "runner/command_output.h"
#include "serving/http_client.h"
#include "serving/managed_start.h"
#include "serving/preset.h"
#include "serving/server_url.h"

namespace secondsource {
namespace {

constexpr std::int64_t kHealthTimeoutNs = 2'000'000'000;
constexpr std::int64_t kHealthPeriodNs = 100'000'000;
// The deadline of commands to a container engine, which may have to start its own helpers first.
constexpr std::int64_t kEngineDeadlineNs = 30'000'000'000;
// The run is ending, so the server is given less time to stop than a plan may allow.
constexpr double kShortStopS = 5;

/// A port of the loopback that nothing listens on now.
Result<std::int32_t> free_port() {
  const FileDescriptor one(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (!one.is_open() || ::bind(one.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(one.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return errno_error("a port of 127.0.0.1", "find a free one");
  }
  return static_cast<std::int32_t>(ntohs(address.sin_port));
}

/// The port of a URL that parse_server_url() gave.
std::int32_t port_of(std::string_view url) {
  const std::size_t host = url.find("://") + 3;
  const std::string_view authority = url.substr(host, url.find('/', host) - host);
  const std::size_t colon = authority.rfind(':');
  const auto port =
      parse_number<std::int32_t>(colon == std::string_view::npos ? std::string_view() : authority.substr(colon + 1));
  return port.value_or(url.starts_with("https") ? 443 : 80);
}

std::string health_url(const ServerPlan& plan) {
  return std::string(origin_of(plan.request.url)) + plan.request.managed->health;
}

ChildCommand process_command(const ServerPlan& plan, const ChildLimits& limits) {
  const StartPlaces places{plan.model, plan.port};
  ChildCommand command = command_of(filled(plan.request.managed->start, places));
  for (const auto& [name, value] : plan.request.managed->env)
    command.environment.emplace_back(name, filled(value, places));
  command.limits = limits;
  return command;
}

ChildCommand engine_command(const ServerPlan& plan, const std::string& name, const ChildLimits& limits) {
  const ContainerRun run{
      .name = name, .model_files = plan.model_files, .places = {kModelInContainer, plan.port}, .limits = limits};
  return command_of(container_run(*plan.request.managed, run));
}

}  // namespace

Result<ServerPlan> plan_server(SystemRequest request, const std::filesystem::path& model_folder,
                               std::vector<std::pair<std::string, std::filesystem::path>> model_files) {
  ServerPlan plan{.request = std::move(request), .model = model_folder.string(), .model_files = std::move(model_files)};
  SystemRequest& system = plan.request;
  if (!system.url.empty()) {
    plan.port = port_of(system.url);
  } else {
    SS_TRY(plan.port, free_port());
    SS_TRY(const ServerUrl url,
           parse_server_url(fmt::format("http://127.0.0.1:{}", plan.port), facts_of(system.preset).base_path));
    system.url = url.base;
  }
  system.model = filled(system.model, {system.managed->image.empty() ? plan.model : kModelInContainer, plan.port});
  return plan;
}

ManagedServer::ManagedServer(const ServerPlan& plan, std::string container, std::unique_ptr<ServerProcesses> processes,
                             ChildProcess process, ChildWatch watch, const InterruptFlag& interrupt)
    : plan_(plan),
      container_(std::move(container)),
      processes_(std::move(processes)),
      process_(std::move(process)),
      watch_(std::move(watch)),
      interrupt_(interrupt),
      paused_with_us_(std::in_place, interrupt, process_.group()) {}

ManagedServer::~ManagedServer() {
  plan_.request.managed->stop_deadline_s = std::min(managed().stop_deadline_s, kShortStopS);
  (void)stop();
}

Result<ServerStart> ManagedServer::start(const ServerPlan& plan, const std::filesystem::path& log,
                                         const ChildLimits& limits, const InterruptFlag& interrupt) {
  SS_TRY_VOID(interrupt.check());
  // A program that already listens there would be measured instead of the server.
  SS_TRY(HttpClient client, HttpClient::create({}));
  if (client.fetch({.url = health_url(plan), .timeout_ns = kHealthTimeoutNs})) {
    return ServerStart{{},
                       WorkerFailure{.kind = FailureKind::kUnavailable,
                                     .message = fmt::format("{}: another server answers there already: stop it, "
                                                            "or choose another port",
                                                            plan.request.url)}};
  }
  const std::string container = plan.request.managed->image.empty() ? "" : "secondsource-" + random_digits();
  ChildCommand command = container.empty() ? process_command(plan, limits) : engine_command(plan, container, limits);
  command.stderr_file = log;
  command.stdout_to_stderr = true;
  ChildWatch watch(log);
  auto processes = container.empty() ? std::make_unique<ServerProcesses>() : nullptr;
  SS_TRY(ChildProcess process, ChildProcess::start(command));
  if (processes) processes->belong_to(process.group());
  ServerStart started;
  started.server.reset(
      new ManagedServer(plan, container, std::move(processes), std::move(process), std::move(watch), interrupt));
  SS_TRY(started.failure, started.server->wait_until_healthy());
  if (started.failure) started.server.reset();
  return started;
}

Result<WorkerOutcome> ManagedServer::wait_until_healthy() {
  SS_TRY(ApiKey key, ApiKey::read(plan_.request.key));
  SS_TRY(HttpClient client, HttpClient::create({.key = std::move(key), .version = plan_.request.http}));
  const std::int64_t paused_ns = interrupt_.paused_ns();
  const std::int64_t began_ns = now_ns();
  const auto deadline_ns = static_cast<std::int64_t>(1e9 * managed().start_deadline_s);
  const std::string url = health_url(plan_);
  while (true) {
    SS_TRY_VOID(interrupt_.check());
    const Result<HttpReply> reply = client.fetch({.url = url, .timeout_ns = kHealthTimeoutNs});
    const std::int64_t spent_ns = now_ns() - began_ns - (interrupt_.paused_ns() - paused_ns);
    // Finally checks that the server still runs, so that the answer of another program is not mistaken for its own.
    if (WorkerOutcome ended = failure(0)) return ended;
    if (reply && reply->end.status == 200) {
      ready_after_ns_ = spent_ns;
      if (processes_) processes_->look();
      return WorkerOutcome();
    }
    if (spent_ns > deadline_ns) {
      const std::string answer = reply ? fmt::format("HTTP {}", reply->end.status) : reply.error().message;
      const std::string last = watch_.last_line();
      return WorkerOutcome(WorkerFailure{
          .kind = FailureKind::kHang,
          .message = fmt::format("the server was not ready after {}: {} {} {}{}{}", format_duration_ns(spent_ns), url,
                                 reply ? "answered" : "gave", client.key().cut_from(answer),
                                 last.empty() ? "" : "; it wrote last: ", last)});
    }
    (void)has_ended_by(now_ns() + kHealthPeriodNs);
  }
}

bool ManagedServer::has_ended_by(std::int64_t until_ns) {
  while (!process_.wait(until_ns)) {
    if (now_ns() >= until_ns) return false;
  }
  return true;
}

WorkerOutcome ManagedServer::failure(std::int64_t wait_ns) {
  if (is_stopped_ || !has_ended_by(now_ns() + wait_ns)) return std::nullopt;
  const ChildExit exit = *process_.wait(0);
  WorkerFailure failure = worker_failure(watch_.failure_of(exit, container_.empty() ? "the server" : "the container"));
  if (!container_.empty()) {
    const auto killed = run_command(container_memory_kill(managed(), container_), kEngineDeadlineNs);
    if (killed && killed->out == "true") {
      failure.kind = FailureKind::kOutOfMemory;
      failure.message += "; the container engine reports that it ran out of memory";
    }
  }
  return failure;
}

std::int64_t ManagedServer::process() const {
  if (container_.empty()) return process_.group();
  const auto said = run_command(container_process(managed(), container_), kEngineDeadlineNs);
  return said ? parse_number<std::int64_t>(said->out).value_or(0) : 0;
}

void ManagedServer::ask_to_end() {
  const auto deadline_ns = static_cast<std::int64_t>(1e9 * managed().stop_deadline_s);
  if (!container_.empty()) {
    (void)run_command(container_stop(managed(), container_), deadline_ns + kEngineDeadlineNs);
  } else if (!managed().stop.empty()) {
    const StartPlaces places{plan_.model, plan_.port};
    (void)run_command(filled(managed().stop, places), deadline_ns);
  } else {
    process_.terminate();
  }
}

std::string ManagedServer::stop() {
  if (is_stopped_) return "";
  is_stopped_ = true;
  paused_with_us_.reset();
  std::string said;
  if (!process_.wait(0)) {
    if (processes_) processes_->look();
    ask_to_end();
    if (!has_ended_by(now_ns() + static_cast<std::int64_t>(1e9 * managed().stop_deadline_s))) {
      said =
          fmt::format("it did not end within {:g} s after it was asked to, and was killed", managed().stop_deadline_s);
      if (!container_.empty()) (void)run_command(container_kill(managed(), container_), kEngineDeadlineNs);
      process_.kill();
    }
  }
  process_.kill_group();
  if (processes_) {
    const std::string left = processes_->end();
    if (!left.empty()) {
      said += fmt::format("{}some of its processes did not end: {}", said.empty() ? "" : "; ", left);
    }
    processes_.reset();
  }
  if (!container_.empty()) (void)run_command(container_remove(managed(), container_), kEngineDeadlineNs);
  return said;
}

std::string look_at_image(ManagedStart& managed) {
  if (managed.image.empty()) return "";
  const auto version = run_command(engine_version(managed), kEngineDeadlineNs);
  if (!version) return version.error().message;
  if (version->exit.status != 0) {
    constexpr int kNotFound = 127;  // as a shell and env report it
    return fmt::format("{} --version: {}: {}", managed.engine, version->exit.text(),
                       version->exit.status == kNotFound ? "no container engine of this name"
                                                         : "expected a container engine that works");
  }
  managed.engine_version = shown(version->out);
  const auto id = run_command(image_id(managed), kEngineDeadlineNs);
  if (!id) return id.error().message;
  if (id->exit.status != 0) {
    return fmt::format("{} has no image {}: expected one that was pulled or built before the run", managed.engine,
                       managed.image);
  }
  managed.image_id = shown(id->out);
  return "";
}

}  // namespace secondsource
