#pragma once
// The cost of the serving client and the error of its times: the load generator and the served endpoint, as in runs,
// measure the null server (null_server.h), whose stamps are the truth.

#include <cstdint>
#include <optional>
#include <string>

#include "core/interrupt.h"
#include "core/result.h"

namespace secondsource {

struct ClientLoad {
  std::int32_t n_streams = 1;    ///< requests, all of which are open at once if their answers last long enough
  std::int32_t n_tokens = 1;     ///< of each answer
  double arrivals_per_s = 1000;  ///< Poisson
  std::uint64_t seed = 0;
};

/// How far the client's values are from the server's stamps.
struct ClientError {
  std::int64_t n_values = 0;
  std::optional<double> median_ns, p99_ns;        ///< of |client's value - server's|; empty for too small a sample
  std::optional<double> median_share, p99_share;  ///< the same as a share of the server's value
};

struct ClientCost {
  std::int64_t n_events = 0;   ///< token events that the client counted
  std::int64_t n_sent = 0;     ///< token events that the server stamped
  std::int64_t n_failed = 0;   ///< requests that ended with an error
  std::int64_t n_at_once = 0;  ///< the most requests that were open at a time
  double events_per_s = 0;
  double client_cpu_ns = 0;  ///< CPU time of the client's thread per token event, with sending and ending requests
  double server_cpu_ns = 0;  ///< the same for the server's process
  ClientError ttft;          ///< scheduled arrival -> first token, against request read -> first token sent
  ClientError gap;           ///< every gap between two tokens of a request
  std::optional<double> late_p99_ns;  ///< sent after its scheduled arrival
};

/// Opens the connections, sends the requests and compares the times. `server` is the address of a null server without a
/// path ("http://127.0.0.1:8000"), which must not have served requests before. Errors: kUnsupported if this process may
/// not open so many connections; those of the client.
Result<ClientCost> measure_client_cost(const std::string& server, const ClientLoad& load,
                                       const InterruptFlag& interrupt);

}  // namespace secondsource
