#include "systems/client_cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/open_files.h"
#include "measure/arrivals.h"
#include "measure/load_generator.h"
#include "serving/http_client.h"
#include "stats/quantile.h"
#include "systems/null_server.h"
#include "systems/served_endpoint.h"

namespace secondsource {
namespace {

constexpr std::int64_t kStallNs = 60'000'000'000;
// In addition to the connections: the standard files, libraries, pipes and epoll sets.
constexpr std::int64_t kOtherFiles = 64;

/// Collects pairs of values of one quantity, as measured by the client and by the server.
class Differences {
 public:
  void add(std::int64_t client_ns, std::int64_t server_ns) {
    const double off = std::abs(static_cast<double>(client_ns - server_ns));
    ns_.push_back(off);
    share_.push_back(server_ns > 0 ? off / static_cast<double>(server_ns) : 0);
  }

  ClientError error() {
    std::ranges::sort(ns_);
    std::ranges::sort(share_);
    return {static_cast<std::int64_t>(ns_.size()), supported_quantile_of_sorted(ns_, 0.5),
            supported_quantile_of_sorted(ns_, 0.99), supported_quantile_of_sorted(share_, 0.5),
            supported_quantile_of_sorted(share_, 0.99)};
  }

 private:
  std::vector<double> ns_, share_;
};

std::int64_t most_at_once(const std::vector<ObservedRequest>& requests) {
  std::vector<std::pair<std::int64_t, int>> changes;
  for (const ObservedRequest& request : requests) {
    if (request.token_ns.empty()) continue;
    changes.emplace_back(request.sent_ns, 1);
    changes.emplace_back(request.token_ns.back(), -1);
  }
  std::ranges::sort(changes);
  std::int64_t n_open = 0, most = 0;
  for (const auto& [at_ns, change] : changes) {
    n_open += change;
    most = std::max(most, n_open);
  }
  return most;
}

Result<NullStamps> fetch_stamps(HttpClient& client, const std::string& server) {
  SS_TRY(const HttpReply reply, client.fetch({.url = server + "/stamps", .max_body_bytes = std::int64_t{1} << 30}));
  return parse_null_stamps(reply.body);
}

}  // namespace

Result<ClientCost> measure_client_cost(const std::string& server, const ClientLoad& load,
                                       const InterruptFlag& interrupt) {
  SS_TRY_VOID(allow_open_files(load.n_streams + kOtherFiles));
  ServedSystem system;
  system.url = server + "/v1";
  system.preset = ServerPreset::kVllm;
  system.model = "null";
  system.timeout_s = 3600;
  SS_TRY(HttpClient client, HttpClient::create({}));
  ServedEndpoint endpoint(std::move(system), std::move(client), nullptr, kStallNs);
  endpoint.open_connections(load.n_streams);

  std::vector<TimedRequest> requests(static_cast<std::size_t>(load.n_streams));
  for (std::int32_t index = 0; index < load.n_streams; ++index) {
    TimedRequest& request = requests[static_cast<std::size_t>(index)];
    request.tag = index;
    request.ids = {index};
    request.n_output_tokens = load.n_tokens;
  }
  LoadShape shape;
  shape.arrival_offsets_ns =
      arrival_offsets_ns({.rate_per_s = load.arrivals_per_s, .n_requests = load.n_streams, .seed = load.seed});
  SS_TRY(const NullStamps before, fetch_stamps(endpoint.client(), server));
  ProgressCount progress{0};
  const std::int64_t cpu_before_ns = thread_cpu_ns();
  SS_TRY(const LoadResult result, generate_load(endpoint, requests, shape, interrupt, progress));
  const std::int64_t cpu_ns = thread_cpu_ns() - cpu_before_ns;
  SS_TRY(NullStamps after, fetch_stamps(endpoint.client(), server));

  ClientCost cost;
  Differences ttft, gaps;
  std::vector<double> late_ns;
  std::ranges::sort(after.answers, {}, &NullAnswer::tag);
  for (const NullAnswer& answer : after.answers) cost.n_sent += static_cast<std::int64_t>(answer.sent_ns.size());
  for (const ObservedRequest& request : result.requests) {
    const RequestSample sample = to_sample(request, result.start_ns);
    cost.n_events += sample.n_output_tokens;
    if (request.has_failed()) ++cost.n_failed;
    late_ns.push_back(static_cast<double>(sample.sent_ns - sample.scheduled_ns));
    const auto found = std::ranges::lower_bound(after.answers, request.tag, {}, &NullAnswer::tag);
    if (found == after.answers.end() || found->tag != request.tag || request.has_failed()) continue;
    if (found->sent_ns.size() != request.token_ns.size()) continue;  // n_events and n_sent tell
    if (const auto client_ns = sample.ttft_e2e_ns()) ttft.add(*client_ns, found->sent_ns.front() - found->received_ns);
    for (std::size_t index = 0; index < sample.itl_ns.size(); ++index) {
      gaps.add(sample.itl_ns[index], found->sent_ns[index + 1] - found->sent_ns[index]);
    }
  }
  std::ranges::sort(late_ns);
  cost.late_p99_ns = supported_quantile_of_sorted(late_ns, 0.99);
  cost.n_at_once = most_at_once(result.requests);
  cost.ttft = ttft.error();
  cost.gap = gaps.error();
  const double n_events = static_cast<double>(std::max<std::int64_t>(cost.n_events, 1));
  cost.events_per_s = n_events / (1e-9 * static_cast<double>(result.end_ns - result.start_ns));
  cost.client_cpu_ns = static_cast<double>(cpu_ns) / n_events;
  cost.server_cpu_ns = static_cast<double>(after.cpu_ns - before.cpu_ns) / n_events;
  return cost;
}

}  // namespace secondsource
