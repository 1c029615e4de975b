#include "selftest_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/child_process.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/interrupt.h"
#include "core/open_files.h"
#include "core/units.h"
#include "report/text_table.h"
#include "systems/client_cost.h"
#include "systems/null_server.h"

namespace secondsource {
namespace {

// The aims hold at kAimedStreams. With fewer streams every event wakes a sleeping process, which costs more than the
// event itself; with more, the cost of sending a request is spread over few tokens.
constexpr std::int32_t kAimedStreams = 1000;
constexpr double kMostCpuNs = 20'000;
constexpr double kLargestShare = 0.01;

struct ClientOptions {
  std::vector<std::int32_t> streams = {1, 100, 1000, 10'000};
  double first_ms = 100;
  double gap_ms = 20;
  double events_per_s = 20'000;
  double arrivals_per_s = 2000;
  double seconds = 10;
  std::uint64_t seed = 1;
  bool serve = false;
  int port = 0;
};

std::int64_t ns_of(double ms) {
  return std::llround(1e6 * ms);
}

/// Answers until it is told to end.
Result<ExitStatus> serve(const ClientOptions& options, const CommandContext& context) {
  allow_most_open_files();
  SS_TRY(NullServer server, NullServer::listen({ns_of(options.first_ms), ns_of(options.gap_ms)}, options.port));
  SS_TRY_VOID(print(fmt::format("{}\n", server.port())));
  SS_TRY_VOID(server.serve(context.interrupt));
  return ExitStatus::kOk;
}

/// The gap between tokens of one stream, large enough that all streams together stay within events_per_s.
double gap_ms_of(const ClientOptions& options, std::int32_t n_streams) {
  return std::max(options.gap_ms, 1e3 * n_streams / options.events_per_s);
}

Result<ClientCost> measure(const ClientOptions& options, std::int32_t n_streams, const CommandContext& context) {
  constexpr std::int64_t kStartNs = 30'000'000'000;
  const double gap_ms = gap_ms_of(options, n_streams);
  ChildCommand command;
  command.program = context.program;
  command.arguments = {"selftest",
                       "client",
                       "--serve",
                       "--first-ms",
                       fmt::format("{}", options.first_ms),
                       "--gap-ms",
                       fmt::format("{}", gap_ms)};
  SS_TRY(ChildProcess process, ChildProcess::start(command));
  const PausedWithUs paused_with_us(context.interrupt, process.group());
  SS_TRY(const std::optional<std::string> port, process.receive(now_ns() + kStartNs));
  if (!port) return Error{ErrorCode::kUnavailable, "the null server: expected its port within 30 s, found none"};
  ClientLoad load;
  load.n_streams = n_streams;
  load.n_tokens = std::max(2, static_cast<std::int32_t>(std::lround(1e3 * options.seconds / gap_ms)));
  load.arrivals_per_s = options.arrivals_per_s;
  load.seed = options.seed;
  return measure_client_cost("http://127.0.0.1:" + *port, load, context.interrupt);
}

std::string time_text(std::optional<double> ns) {
  return ns ? format_duration_ns(std::llround(*ns)) : "-";
}

std::string error_text(std::optional<double> ns, std::optional<double> share) {
  return ns && share ? fmt::format("{} ({:.2g} %)", time_text(ns), 100 * *share) : "-";
}

bool misses_aims(std::int32_t n_streams, const ClientCost& cost) {
  if (cost.n_failed > 0 || cost.n_events != cost.n_sent) return true;
  if (n_streams != kAimedStreams) return false;
  return cost.client_cpu_ns >= kMostCpuNs || cost.ttft.p99_share.value_or(1) >= kLargestShare ||
         cost.gap.p99_share.value_or(1) >= kLargestShare;
}

Result<ExitStatus> run_client(const ClientOptions& options, const CommandContext& context) {
  if (options.serve) return serve(options, context);
  TextTable table;
  table.columns = {"streams",    "open at once",   "gap", "events",        "of",  "failed",  "events/s", "client CPU",
                   "server CPU", "TTFT error p50", "p99", "gap error p50", "p99", "late p99"};
  table.right_aligned.assign(table.columns.size(), true);
  bool are_missed = false;
  std::string left_out;
  for (const std::int32_t n_streams : options.streams) {
    SS_TRY_VOID(context.interrupt.check());
    context.progress.begin(counted(n_streams, "stream"), 0);
    const Result<ClientCost> cost = measure(options, n_streams, context);
    if (!cost && cost.error().code == ErrorCode::kUnsupported) {
      left_out += fmt::format("{}: left out: {}\n", counted(n_streams, "stream"), cost.error().message);
      continue;
    }
    if (!cost) return cost.error();
    are_missed = are_missed || misses_aims(n_streams, *cost);
    table.rows.push_back(
        {fmt::to_string(n_streams), fmt::to_string(cost->n_at_once), time_text(1e6 * gap_ms_of(options, n_streams)),
         fmt::to_string(cost->n_events), fmt::to_string(cost->n_sent), fmt::to_string(cost->n_failed),
         fmt::format("{:.0f}", cost->events_per_s), time_text(cost->client_cpu_ns), time_text(cost->server_cpu_ns),
         error_text(cost->ttft.median_ns, cost->ttft.median_share), error_text(cost->ttft.p99_ns, cost->ttft.p99_share),
         error_text(cost->gap.median_ns, cost->gap.median_share), error_text(cost->gap.p99_ns, cost->gap.p99_share),
         time_text(cost->late_p99_ns)});
  }
  SS_TRY_VOID(print_text(fmt::format(
      "The client of servers over a null server on this machine, with the CPU time of each for a token event. \"of\" are the\n"
      "token events that the server sent; an error is the distance between the client's time and the server's stamps.\n\n"
      "{}{}\nThe aims (every event is counted; at {} streams less than {:g} us of the client's CPU an event, and less than\n"
      "{:g} % of error for 99 in 100 values): {}.\n",
      render_terminal(table), left_out, kAimedStreams, 1e-3 * kMostCpuNs, 100 * kLargestShare,
      are_missed ? "missed" : "met")));
  return are_missed ? ExitStatus::kRegressed : ExitStatus::kOk;
}

}  // namespace

void add_selftest_client(CommandNode& selftest, CommandAction& action) {
  auto options = std::make_shared<ClientOptions>();
  CommandNode* client = selftest.add_subcommand(
      "client", "The client of servers: its CPU time for a token event, and how far its times are off");
  Flag* streams = client->add_option("--streams", options->streams, "Concurrent streams, one measurement each")
                      ->delimiter(',')
                      ->check(Range(1, 100'000))
                      ->capture_default_str();
  client->add_option("--first-ms", options->first_ms, "Of the null server: from a request to its first token")
      ->check(Range(0.0, 60'000.0))
      ->capture_default_str();
  client->add_option("--gap-ms", options->gap_ms, "Of the null server: between the tokens of one stream, at least")
      ->check(Range(0.01, 60'000.0))
      ->capture_default_str();
  Flag* events =
      client
          ->add_option("--events", options->events_per_s, "Most token events a second; with more streams the gap grows")
          ->check(Range(1.0, 10'000'000.0))
          ->capture_default_str();
  Flag* arrivals = client->add_option("--arrivals", options->arrivals_per_s, "Requests a second, Poisson")
                       ->check(Range(0.1, 1'000'000.0))
                       ->capture_default_str();
  Flag* seconds = client->add_option("--seconds", options->seconds, "Length of an answer")
                      ->check(Range(0.01, 600.0))
                      ->capture_default_str();
  Flag* seed = client->add_option("--seed", options->seed, "The arrivals follow from it")->capture_default_str();
  Flag* serve =
      client->add_flag("--serve", options->serve, "Be the null server until interrupted; prints the port first")
          ->excludes(streams)
          ->excludes(events)
          ->excludes(arrivals)
          ->excludes(seconds)
          ->excludes(seed);
  client->add_option("--port", options->port, "--serve: the port; 0: a free one")
      ->needs(serve)
      ->check(Range(0, 65'535))
      ->capture_default_str();
  client->footer(
      "Ends with 1 when an aim is missed or an event is lost (docs/diagnosis.md).\n"
      "With --serve it answers /v1/completions with prompts of token ids on 127.0.0.1,\n"
      "and /stamps with the time of every token that it sent: another client can be\n"
      "held against it.\n"
      "Example: secondsource selftest client --streams 1,100,1000");
  client->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_client(*options, context); }; });
}

}  // namespace secondsource
