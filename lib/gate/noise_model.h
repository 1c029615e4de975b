#pragma once
// How the time of one unchanged program varies from process to process: models that the gate is tried on. Each has a
// normal part of standard deviation sigma ("run noise"), and its own trouble on top of that.

#include <cstdint>
#include <span>
#include <string_view>

#include "core/random.h"

namespace secondsource {

enum class NoiseKind : std::uint8_t {
  kGaussian,        ///< nothing on top
  kHeavyTailed,     ///< instead of the normal part, Student's t with 3 degrees of freedom, of the same quartiles
  kOutliers,        ///< 1 process in 20 is up to 35 % slower
  kBimodal,         ///< every other process, by chance, runs in a state that is 8 % slower (placement, frequency)
  kDrift,           ///< the machine warms up: 10 % slower by and by, half of it within the first 20 processes
  kAutocorrelated,  ///< a level that wanders with it: AR(1), 0.9 from process to process, standard deviation sigma
  kBursts,          ///< a neighbour: 20 % slower while it is there; comes with 1 in 20, goes with 1 in 5
  kOrder,           ///< who goes second in a pair is 3 % slower
};

[[nodiscard]] std::span<const NoiseKind> noise_kinds();
/// "gaussian", "heavy-tailed", ...
[[nodiscard]] std::string_view to_string(NoiseKind kind);

/// The noise of processes that run one after the other, as logarithms of their time.
class NoiseStream {
 public:
  NoiseStream(NoiseKind kind, double sigma, std::uint64_t seed) : kind_(kind), sigma_(sigma), random_(seed) {}
  double next();

 private:
  double normal();

  NoiseKind kind_;
  double sigma_;
  RandomStream random_;
  std::int64_t n_drawn_ = 0;
  double level_ = 0;            ///< kAutocorrelated
  bool has_neighbour_ = false;  ///< kBursts
};

}  // namespace secondsource
