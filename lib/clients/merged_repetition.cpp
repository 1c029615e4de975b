#include "clients/merged_repetition.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/enum_format.h"

namespace secondsource {
namespace {

void shift(std::optional<std::int64_t>& time, std::int64_t by_ns) {
  if (time) *time += by_ns;
}

RequestSample moved(const RequestSample& sample, const ClientRepetition& from, std::int64_t by_ns, std::int32_t turns) {
  RequestSample all = sample;
  all.request = index_of_all(from.client, sample.request / turns) * turns + sample.request % turns;
  all.scheduled_ns += by_ns;
  all.sent_ns += by_ns;
  for (auto* const time : {&all.first_token_ns, &all.first_visible_ns, &all.last_token_ns, &all.first_received_ns,
                           &all.last_received_ns}) {
    shift(*time, by_ns);
  }
  return all;
}

std::int64_t tokens_inside(const std::vector<RequestSample>& samples, std::int64_t start_ns, std::int64_t end_ns) {
  std::int64_t count = 0;
  for (const RequestSample& sample : samples) {
    if (sample.warmup || !sample.first_token_ns) continue;
    std::int64_t at_ns = *sample.first_token_ns;
    const auto count_one = [&] { count += at_ns > start_ns && at_ns <= end_ns ? 1 : 0; };
    count_one();
    for (const std::int64_t gap_ns : sample.itl_ns) {
      at_ns += gap_ns;
      count_one();
    }
  }
  return count;
}

int badness_of(CheckOutcome outcome) {
  constexpr std::array kOrder = {CheckOutcome::kPassed, CheckOutcome::kNotAvailable, CheckOutcome::kSuspect,
                                 CheckOutcome::kInvalid};
  return static_cast<int>(std::ranges::find(kOrder, outcome) - kOrder.begin());
}

/// For each check the worst finding of any client, and a check of how much the clients' windows overlap.
std::vector<CheckRecord> merged_checks(std::span<const ClientRepetition> clients, const CommonWindow& window) {
  std::vector<CheckRecord> checks;
  for (const ClientRepetition& client : clients) {
    for (CheckRecord check : client.repetition->checks) {
      if (!check.detail.empty()) check.detail = fmt::format("client {}: {}", client.client.index, check.detail);
      const auto known = std::ranges::find(checks, check.name, &CheckRecord::name);
      if (known == checks.end()) {
        checks.push_back(std::move(check));
      } else if (badness_of(check.outcome) > badness_of(known->outcome)) {
        *known = std::move(check);
      }
    }
  }
  CheckRecord common{.name = "clients", .detail = {}};
  common.outcome = window.share() >= kGoodCommonShare    ? CheckOutcome::kPassed
                   : window.share() >= kLeastCommonShare ? CheckOutcome::kSuspect
                                                         : CheckOutcome::kInvalid;
  common.detail = fmt::format("all {} clients were measuring in {:.0f} % of the longest of their windows, {:.3g} s",
                              clients.size(), 100 * window.share(), 1e-9 * static_cast<double>(window.longest_ns));
  checks.push_back(std::move(common));
  return checks;
}

/// The telemetry of the first client, without the server's own count of output tokens: it counts the tokens of all
/// clients, but only over the time of one client.
std::vector<TelemetryReading> merged_telemetry(std::vector<TelemetryReading> readings) {
  for (TelemetryReading& reading : readings) {
    if (reading.name != kServerOutputReading) continue;
    reading.value.reset();
    reading.why_not = "each client read it over a time of its own";
  }
  return readings;
}

template <typename T>
void add(std::optional<T>& sum, const std::optional<T>& one) {
  sum = sum && one ? std::optional(*sum + *one) : std::nullopt;
}

/// Adds what one client used and saw to the totals.
void add_usage(const Repetition& one, Repetition& all) {
  all.warmup_windows = std::max(all.warmup_windows, one.warmup_windows);
  all.warmup_settled = all.warmup_settled && one.warmup_settled;
  all.load_ns = std::max(all.load_ns, one.load_ns);
  all.host_memory.peak_rss_bytes = std::max(all.host_memory.peak_rss_bytes, one.host_memory.peak_rss_bytes);
  all.process_cpu_s += one.process_cpu_s;
  all.wall_s = std::max(all.wall_s, one.wall_s);
  if (one.others_cpu_share) all.others_cpu_share = std::max(all.others_cpu_share.value_or(0), *one.others_cpu_share);
  all.involuntary_switches += one.involuntary_switches;
  all.major_faults += one.major_faults;
  add(all.rate_per_s, one.rate_per_s);
  add(all.achieved_rate_per_s, one.achieved_rate_per_s);
}

}  // namespace

CommonWindow common_window(std::span<const ClientRepetition> clients) {
  CommonWindow window{.start_ns = INT64_MIN, .end_ns = INT64_MAX};
  for (const ClientRepetition& client : clients) {
    const std::int64_t start_ns = client.repetition->window_start_ns + client.offset.middle_ns();
    const std::int64_t end_ns = client.repetition->window_end_ns + client.offset.middle_ns();
    window.start_ns = std::max(window.start_ns, start_ns + client.offset.half_ns());
    window.end_ns = std::min(window.end_ns, end_ns - client.offset.half_ns());
    window.longest_ns = std::max(window.longest_ns, end_ns - start_ns);
  }
  return window;
}

Result<std::vector<JournalLine>> merge_repetition(std::span<const ClientRepetition> clients, const std::string& cell,
                                                  std::int32_t turns) {
  const CommonWindow window = common_window(clients);
  const auto window_ns = static_cast<double>(window.end_ns - window.start_ns);
  for (const ClientRepetition& client : clients) {
    if (static_cast<double>(client.offset.half_ns()) <= kMostBoundShare * window_ns) continue;
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format(
            "cell {}, repetition {} of client {}: its clock is known to ±{:.3g} ms against that of client {}: expected at most "
            "{:g} % of their common window, {:.3g} ms; longer repetitions, or more requests in each second, bound it closer",
            cell, client.repetition->repetition, client.client.index,
            1e-6 * static_cast<double>(client.offset.half_ns()), clients.front().client.index, 100 * kMostBoundShare,
            1e-6 * kMostBoundShare * window_ns)};
  }
  // No time is negative: the first request of any client comes at 0 or later.
  std::int64_t first_ns = 0;
  for (const ClientRepetition& client : clients) {
    for (const RequestSample* sample : client.samples) {
      first_ns = std::min(first_ns, sample->scheduled_ns + client.offset.middle_ns());
    }
  }
  Repetition all = *clients.front().repetition;
  all.cell = cell;
  all.server_clock.reset();
  std::vector<RequestSample> samples;
  for (const ClientRepetition& client : clients) {
    const std::int64_t by_ns = client.offset.middle_ns() - first_ns;
    for (const RequestSample* sample : client.samples) {
      samples.push_back(moved(*sample, client, by_ns, turns));
      samples.back().cell = cell;
      samples.back().repetition = all.repetition;
    }
    if (&client != &clients.front()) add_usage(*client.repetition, all);
    all.clients.push_back({.client = client.client.index,
                           .repetition = client.repetition->repetition,
                           .offset_ns = by_ns,
                           .bound_ns = client.offset.half_ns(),
                           .n_turns = client.offset.n_turns,
                           .window_start_ns = client.repetition->window_start_ns + by_ns,
                           .window_end_ns = client.repetition->window_end_ns + by_ns});
  }
  std::ranges::stable_sort(samples, {}, &RequestSample::scheduled_ns);
  all.window_start_ns = window.start_ns - first_ns;
  all.window_end_ns = window.end_ns - first_ns;
  all.window_output_tokens = tokens_inside(samples, all.window_start_ns, all.window_end_ns);
  all.telemetry = merged_telemetry(std::move(all.telemetry));
  all.checks = merged_checks(clients, window);
  std::vector<JournalLine> lines(std::make_move_iterator(samples.begin()), std::make_move_iterator(samples.end()));
  lines.emplace_back(std::move(all));
  return lines;
}

}  // namespace secondsource
