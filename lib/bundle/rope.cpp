#include "bundle/rope.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/check.h"

namespace secondsource {
namespace {

struct TypeName {
  RopeType type;
  std::string_view name;
};
constexpr std::array kTypeNames = {
    TypeName{RopeType::kDefault, "default"}, TypeName{RopeType::kLinear, "linear"},
    TypeName{RopeType::kDynamic, "dynamic"}, TypeName{RopeType::kYarn, "yarn"},
    TypeName{RopeType::kLlama3, "llama3"},   TypeName{RopeType::kLongRope, "longrope"},
};

constexpr double kTwoPi = 2.0 * std::numbers::pi;

/// Unscaled frequencies: theta^(-2i / rotary_dim) for pair i.
std::vector<double> plain_frequencies(double theta, std::int64_t rotary_dim) {
  std::vector<double> frequencies(static_cast<std::size_t>(rotary_dim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = 1.0 / std::pow(theta, 2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim));
  }
  return frequencies;
}

/// Scales as Llama 3.1 does: long wavelengths are divided by `factor`, short ones stay, and those between are blended.
void scale_llama3(const RopeConfig& rope, std::vector<double>& frequencies) {
  const auto original = static_cast<double>(rope.original_max_seq_len);
  const double low_freq_wavelength = original / rope.low_freq_factor;
  const double high_freq_wavelength = original / rope.high_freq_factor;
  for (double& frequency : frequencies) {
    const double wavelength = kTwoPi / frequency;
    if (wavelength > low_freq_wavelength) {
      frequency /= rope.factor;
    } else if (wavelength >= high_freq_wavelength) {
      const double smooth =
          (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      frequency = (1.0 - smooth) * frequency / rope.factor + smooth * frequency;
    }
  }
}

/// Scales as YaRN does (arXiv:2309.00071): a ramp over the pairs, from unchanged to divided by `factor`.
void scale_yarn(const RopeConfig& rope, std::int64_t rotary_dim, std::vector<double>& frequencies) {
  const auto dim = static_cast<double>(rotary_dim);
  const auto correction_dim = [&](double n_rotations) {
    return dim * std::log(static_cast<double>(rope.original_max_seq_len) / (n_rotations * kTwoPi)) /
           (2.0 * std::log(rope.theta));
  };
  double low = correction_dim(rope.beta_fast);
  double high = correction_dim(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / rope.factor * ramp + frequencies[i] * (1.0 - ramp);
  }
}

double yarn_attention_factor(const RopeConfig& rope) {
  if (rope.attention_factor) return *rope.attention_factor;
  const auto mscale_of = [&](double mscale) {
    return rope.factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(rope.factor) + 1.0;
  };
  if (rope.mscale != 0.0 && rope.mscale_all_dim != 0.0) return mscale_of(rope.mscale) / mscale_of(rope.mscale_all_dim);
  return mscale_of(1.0);
}

/// Divides each frequency as LongRoPE does (arXiv:2402.13753), by one list of factors or the other.
void scale_longrope(const RopeConfig& rope, std::int64_t seq_len, std::vector<double>& frequencies) {
  const std::vector<double>& factors = seq_len > rope.original_max_seq_len ? rope.long_factors : rope.short_factors;
  SS_CHECK(factors.size() == frequencies.size(), "parse_model_config checks the lists");
  for (std::size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= factors[i];
}

double longrope_attention_factor(const RopeConfig& rope) {
  if (rope.attention_factor) return *rope.attention_factor;
  if (rope.factor <= 1.0) return 1.0;
  return std::sqrt(1.0 + std::log(rope.factor) / std::log(static_cast<double>(rope.original_max_seq_len)));
}

/// NTK-aware scaling: the base grows with the part of the sequence beyond max_seq_len; for shorter sequences it is
/// theta.
double dynamic_theta(const RopeConfig& rope, std::int64_t rotary_dim, RopeLengths lengths) {
  const auto seq_len = static_cast<double>(std::max(lengths.seq_len, lengths.max_seq_len));
  const double stretch = rope.factor * seq_len / static_cast<double>(lengths.max_seq_len) - (rope.factor - 1.0);
  const auto dim = static_cast<double>(rotary_dim);
  return rope.theta * std::pow(stretch, dim / (dim - 2.0));
}

}  // namespace

std::string_view to_string(RopeType type) {
  return kTypeNames[static_cast<std::size_t>(type)].name;
}

std::optional<RopeType> rope_type_from_name(std::string_view name) {
  for (const TypeName& candidate : kTypeNames) {
    if (candidate.name == name) return candidate.type;
  }
  return std::nullopt;
}

RopeTable make_rope_table(const RopeConfig& rope, std::int64_t rotary_dim, RopeLengths lengths) {
  SS_CHECK(rotary_dim >= 2 && rotary_dim % 2 == 0, "a rotary embedding needs pairs");
  const double theta = rope.type == RopeType::kDynamic ? dynamic_theta(rope, rotary_dim, lengths) : rope.theta;
  std::vector<double> frequencies = plain_frequencies(theta, rotary_dim);
  double attention_factor = 1.0;
  switch (rope.type) {
    case RopeType::kDefault:
    case RopeType::kDynamic:
      break;
    case RopeType::kLinear:
      for (double& frequency : frequencies) frequency /= rope.factor;
      break;
    case RopeType::kLlama3:
      scale_llama3(rope, frequencies);
      break;
    case RopeType::kYarn:
      scale_yarn(rope, rotary_dim, frequencies);
      attention_factor = yarn_attention_factor(rope);
      break;
    case RopeType::kLongRope:
      scale_longrope(rope, lengths.seq_len, frequencies);
      attention_factor = longrope_attention_factor(rope);
      break;
  }
  RopeTable table;
  table.inv_freq.assign(frequencies.size(), 0.0F);
  std::transform(frequencies.begin(), frequencies.end(), table.inv_freq.begin(),
                 [](double frequency) { return static_cast<float>(frequency); });
  table.attention_factor = static_cast<float>(attention_factor);
  return table;
}

}  // namespace secondsource
