#include "gate/noise_model.h"

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
  }
  return "?";
}

// A standard normal number by the method of Box and Muller, 1958.
double NoiseStream::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - random_.next_unit()));
  return radius * std::cos(2 * std::numbers::pi * random_.next_unit());
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
  }
  return plain;
}

}  // namespace secondsource
