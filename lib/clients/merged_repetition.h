#pragma once
// One repetition of several clients as one. docs/scenarios.md ("Several clients") defines it.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "clients/clock_offset.h"
#include "core/result.h"
#include "record/load_client.h"
#include "record/records.h"

namespace secondsource {

/// The clocks of a repetition's clients are known closely enough if each bound is at most this share of the window.
/// Then the tokens of the other clients may be counted on the wrong side of an edge of the window during at most this
/// share of the time, at either edge: the rate is wrong by less than 2 %, while the gate's threshold is 10 % and rows
/// are marked from 5 % on.
inline constexpr double kMostBoundShare = 0.01;
/// The share of the longest client window that all windows have in common. Below the first limit the check `clients`
/// makes the repetition suspect, below the second invalid.
inline constexpr double kGoodCommonShare = 0.8;
inline constexpr double kLeastCommonShare = 0.5;

/// One client's part of a repetition.
struct ClientRepetition {
  LoadClient client;
  const Repetition* repetition = nullptr;
  std::vector<const RequestSample*> samples;  ///< of this repetition, as the client wrote them
  /// Converts its times to the clock of the first client; 0 for the first client.
  OffsetBounds offset;
};

/// The interval that all windows have in common, on the clock of the first client, with each end moved inwards by the bound of the
/// client that sets it; start_ns >= end_ns if there is none.
struct CommonWindow {
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
  std::int64_t longest_ns = 0;  ///< of the clients' own windows
  [[nodiscard]] bool is_empty() const { return start_ns >= end_ns; }
  [[nodiscard]] double share() const {
    return is_empty() ? 0 : static_cast<double>(end_ns - start_ns) / static_cast<double>(longest_ns);
  }
};
[[nodiscard]] CommonWindow common_window(std::span<const ClientRepetition> clients);

/// The lines of the merged repetition: all samples, in the order of their arrival, then its end. `cell` is the merged cell, and
/// `turns` those of its conversations. Errors: kInvalidInput if the clocks are not known closely enough.
Result<std::vector<JournalLine>> merge_repetition(std::span<const ClientRepetition> clients, const std::string& cell,
                                                  std::int32_t turns);

}  // namespace secondsource
