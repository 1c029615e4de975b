#pragma once
// Several machines that load one server at the same time: which of them made a run, and what a merged run records about
// each.

#include <cstdint>
#include <string>
#include <vector>

#include "core/fields.h"

namespace secondsource {

/// Client `index` of `count`, from 1. Together the clients send the requests that one client with `count` times their load
/// would send, each of them its own.
struct LoadClient {
  std::int32_t index = 1;
  std::int32_t count = 1;
  friend bool operator==(const LoadClient&, const LoadClient&) = default;
};
SS_FIELDS(LoadClient, index, count)

/// The place of a client's request, or of its conversation, among those of all clients together.
[[nodiscard]] constexpr std::int32_t index_of_all(const LoadClient& client, std::int32_t index) {
  return index * client.count + client.index - 1;
}

/// How one client's repetition became part of a merged one.
struct ClientShift {
  std::int32_t client = 0;      ///< LoadClient::index
  std::int32_t repetition = 0;  ///< of the client's own run
  /// Added to its times: the middle of the values that the changes of the server's Date allow; 0 for the first client.
  std::int64_t offset_ns = 0;
  std::int64_t bound_ns = 0;         ///< the true offset differs from it by at most this
  std::int32_t n_turns = 0;          ///< turns of the server's Date that this client and the first one both saw
  std::int64_t window_start_ns = 0;  ///< of its own steady window, on the first client's clock
  std::int64_t window_end_ns = 0;
  friend bool operator==(const ClientShift&, const ClientShift&) = default;
};
SS_FIELDS(ClientShift, client, repetition, offset_ns, bound_ns, n_turns, window_start_ns, window_end_ns)

}  // namespace secondsource
