#pragma once
// Models of how the time of an unchanged program varies from process to process, on which the gate is tested. Each has
// a normal part with standard deviation sigma ("run noise") and adds a disturbance of its own.

#include <cstdint>
#include <span>
#include <string_view>

#include "core/random.h"

namespace secondsource {

enum class NoiseKind : std::uint8_t {
  kGaussian,        ///< no disturbance
  kHeavyTailed,     ///< Student's t with 3 degrees of freedom and the same quartiles instead of the normal part
  kOutliers,        ///< 1 process in 20 is up to 35 % slower
  kBimodal,         ///< each process has an even chance of a state that is 8 % slower (placement, frequency)
  kDrift,           ///< the machine warms up: gradually 10 % slower, half of it within the first 20 processes
  kAutocorrelated,  ///< a wandering level: AR(1) with coefficient 0.9 per process and standard deviation sigma
  kBursts,          ///< a neighbour slows processes by 20 %; it arrives with probability 1/20, leaves with 1/5
  kOrder,           ///< the second process of a pair is 3 % slower
  /// A neighbour works on one of two cores half of the time, in bursts and pauses of 0.1 to 1 s. A process times half a
  /// second of work, which runs at 60 % of its speed during a burst, and takes another 1.5 s besides.
  kOneCore,
};

/// All kinds except kOneCore, whose noise is larger than any plan of pairs is made for.
[[nodiscard]] std::span<const NoiseKind> noise_kinds();
/// Returns "gaussian", "heavy-tailed" and so on.
[[nodiscard]] std::string_view to_string(NoiseKind kind);

/// The noise of consecutive processes, as logarithms of relative times.
class NoiseStream {
 public:
  NoiseStream(NoiseKind kind, double sigma, std::uint64_t seed) : kind_(kind), sigma_(sigma), random_(seed) {}
  double next();

 private:
  double normal();
  /// Seconds that `work_s` of work take beside the neighbour of kOneCore, whose bursts and pauses continue meanwhile.
  double seconds_of(double work_s, double speed_beside_him);

  NoiseKind kind_;
  double sigma_;
  RandomStream random_;
  std::int64_t n_drawn_ = 0;
  double level_ = 0;            ///< state of kAutocorrelated
  bool has_neighbour_ = false;  ///< state of kBursts and kOneCore
  double phase_s_ = 0;          ///< state of kOneCore: seconds until the neighbour begins or ends
};

}  // namespace secondsource
