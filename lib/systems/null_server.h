#pragma once
// A server without a model: it answers an OpenAI-compatible streaming request on a fixed schedule and stamps every
// event when it gives it to the kernel. The times that a client reports are compared with these stamps (client_cost.h),
// which shows the client's own cost and error.
//
//   SS_TRY(NullServer server, NullServer::listen({.first_token_ns = 100'000'000, .token_gap_ns = 20'000'000}, 0));
//   SS_TRY_VOID(server.serve(interrupt));   // until it is interrupted
//
// It serves POST /v1/completions with a prompt of token ids, whose first id names the request in the stamps; GET
// /v1/models; and GET /stamps, whose body parse_null_stamps() reads. It uses one thread and listens on 127.0.0.1 only.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/interrupt.h"
#include "core/result.h"

namespace secondsource {

struct NullServerSchedule {
  std::int64_t first_token_ns = 0;  ///< from reading the whole request to its first token
  std::int64_t token_gap_ns = 0;    ///< between the tokens of one request
};

class NullServer {
 public:
  /// Listens on `port`, or on a free one if it is 0. Errors: kUnavailable for a port that is taken; kIo.
  static Result<NullServer> listen(NullServerSchedule schedule, int port);
  ~NullServer();
  NullServer(NullServer&&) noexcept;
  NullServer& operator=(NullServer&&) = delete;

  [[nodiscard]] int port() const;
  /// Answers until the interrupt is requested. Errors: kIo.
  Result<void> serve(const InterruptFlag& interrupt);

 private:
  struct State;
  explicit NullServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// The server's stamps of one request, on the monotonic clock of its machine.
struct NullAnswer {
  std::int64_t tag = 0;               ///< the first id of the prompt
  std::int64_t received_ns = 0;       ///< when the whole request was read
  std::vector<std::int64_t> sent_ns;  ///< of every token
};

struct NullStamps {
  std::int64_t cpu_ns = 0;  ///< CPU time of the server's process so far
  std::vector<NullAnswer> answers;
};

/// Parses the body of GET /stamps. Errors: kInvalidInput.
Result<NullStamps> parse_null_stamps(std::string_view text);

}  // namespace secondsource
