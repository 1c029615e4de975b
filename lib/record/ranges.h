#pragma once
// The ranges of the numbers that describe a run, for the flags, the plan file and a stored run alike.

#include <cstdint>

namespace secondsource {

template <typename T>
struct Bounds {
  T min;
  T max;
  [[nodiscard]] constexpr bool contains(T value) const { return value >= min && value <= max; }
};

inline constexpr Bounds<std::int32_t> kThreadsRange{1, 4096};
inline constexpr Bounds<std::int32_t> kRepetitionsRange{1, 10'000};
inline constexpr Bounds<std::int32_t> kBatchRange{1, 1024};
inline constexpr Bounds<std::int32_t> kClientsRange{2, 1000};    ///< machines that load one server together
inline constexpr Bounds<std::int32_t> kTokensRange{1, 1 << 20};  ///< of a prompt, of an output, of a shared prefix
inline constexpr Bounds<std::int32_t> kRequestsRange{1, 1'000'000};
inline constexpr double kFastestRatePerS = 1e5;               ///< rates are above 0
inline constexpr Bounds<double> kLoadFactorRange{1e-3, 1e6};  ///< burstiness of arrivals, speed of a trace
inline constexpr Bounds<double> kCancelShareRange{1e-4, 1};
inline constexpr Bounds<std::int32_t> kTurnsRange{2, 1000};  ///< of a conversation
inline constexpr Bounds<double> kThinkSecondsRange{0, 3600};
inline constexpr Bounds<double> kZipfRange{1e-3, 10};
inline constexpr Bounds<std::int32_t> kBudgetModelsRange{1, 10'000};
inline constexpr double kLongestSeconds = 1e7;  ///< times are above 0
inline constexpr Bounds<double> kNoisePercentRange{0, 100};

}  // namespace secondsource
