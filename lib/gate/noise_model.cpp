#include "gate/noise_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace secondsource {
namespace {

constexpr std::array kKinds = {NoiseKind::kGaussian, NoiseKind::kHeavyTailed, NoiseKind::kOutliers,
                               NoiseKind::kBimodal,  NoiseKind::kDrift,       NoiseKind::kAutocorrelated,
                               NoiseKind::kBursts,   NoiseKind::kOrder};
constexpr double kWarmUpProcesses = 20 / std::numbers::ln2;
constexpr double kCarriedOver = 0.9;
// kOneCore, in seconds.
constexpr double kShortestPhase = 0.1;
constexpr double kLongestPhase = 1.0;
constexpr double kTimedWork = 0.5;
constexpr double kOtherWork = 1.5;
constexpr double kSpeedBesideNeighbour = 0.6;

}  // namespace

std::span<const NoiseKind> noise_kinds() {
  return kKinds;
}

std::string_view to_string(NoiseKind kind) {
  switch (kind) {
    case NoiseKind::kGaussian:
      return "gaussian";
    case NoiseKind::kHeavyTailed:
      return "heavy-tailed";
    case NoiseKind::kOutliers:
      return "outliers";
    case NoiseKind::kBimodal:
      return "bimodal";
    case NoiseKind::kDrift:
      return "drift";
    case NoiseKind::kAutocorrelated:
      return "autocorrelated";
    case NoiseKind::kBursts:
      return "bursts";
    case NoiseKind::kOrder:
      return "order";
    case NoiseKind::kOneCore:
      return "one core";
  }
  return "?";
}

// A standard normal number by the method of Box and Muller, 1958.
double NoiseStream::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - random_.next_unit()));
  return radius * std::cos(2 * std::numbers::pi * random_.next_unit());
}

double NoiseStream::seconds_of(double work_s, double speed_beside_him) {
  constexpr double kRounding = 1e-12;
  double spent_s = 0;
  while (work_s > kRounding) {
    if (phase_s_ <= 0) {
      has_neighbour_ = !has_neighbour_;
      phase_s_ = kShortestPhase + (kLongestPhase - kShortestPhase) * random_.next_unit();
    }
    const double speed = has_neighbour_ ? speed_beside_him : 1;
    const double part_s = std::min(phase_s_, work_s / speed);
    spent_s += part_s;
    phase_s_ -= part_s;
    work_s -= part_s * speed;
  }
  return spent_s;
}

double NoiseStream::next() {
  const std::int64_t index = n_drawn_++;
  const double plain = sigma_ * normal();
  switch (kind_) {
    case NoiseKind::kGaussian:
      return plain;
    case NoiseKind::kHeavyTailed: {
      // t = normal / sqrt(chi-squared / 3). The upper quartile of t is 0.76489, that of the normal distribution
      // 0.67449.
      double squares = 0;
      for (int i = 0; i < 3; ++i) squares += std::pow(normal(), 2);
      return plain / std::sqrt(squares / 3) * (0.67449 / 0.76489);
    }
    case NoiseKind::kOutliers:
      return plain + (random_.next_unit() < 0.05 ? std::log1p(0.35 * random_.next_unit()) : 0.0);
    case NoiseKind::kBimodal:
      return plain + (random_.next_unit() < 0.5 ? std::log1p(0.08) : 0.0);
    case NoiseKind::kDrift:
      return plain + std::log1p(0.10) * (1 - std::exp(-static_cast<double>(index) / kWarmUpProcesses));
    case NoiseKind::kAutocorrelated:
      level_ = index == 0 ? sigma_ * normal()
                          : kCarriedOver * level_ + std::sqrt(1 - kCarriedOver * kCarriedOver) * sigma_ * normal();
      return plain + level_;
    case NoiseKind::kBursts:
      has_neighbour_ = has_neighbour_ ? random_.next_unit() >= 0.2 : random_.next_unit() < 0.05;
      return plain + (has_neighbour_ ? std::log1p(0.20) : 0.0);
    case NoiseKind::kOrder:
      return plain + (index % 2 == 1 ? std::log1p(0.03) : 0.0);
    case NoiseKind::kOneCore:
      seconds_of(kOtherWork, 1);
      return plain + std::log(seconds_of(kTimedWork, kSpeedBesideNeighbour) / kTimedWork);
  }
  return plain;
}

}  // namespace secondsource
