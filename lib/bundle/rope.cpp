// Frequencies are computed in f32, step by step as transformers does it: the angle at position p has p times the error of a
// frequency, so that at 128K positions a few units in the last place already turn a pair by a hundredth of a radian.

#include "bundle/rope.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

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

/// theta^(2i / rotary_dim) for pair i, whose inverse is its frequency.
std::vector<float> plain_wavelengths(double theta, std::int64_t rotary_dim) {
  std::vector<float> wavelengths(static_cast<std::size_t>(rotary_dim / 2));
  for (std::size_t i = 0; i < wavelengths.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rotary_dim);
    const double base = static_cast<float>(theta);
    wavelengths[i] = static_cast<float>(std::pow(base, static_cast<double>(exponent)));
  }
  return wavelengths;
}

std::vector<float> inverses(std::vector<float> wavelengths) {
  for (float& value : wavelengths) value = 1.0F / value;
  return wavelengths;
}

/// Scales as Llama 3.1 does: long wavelengths are divided by `factor`, short ones stay, and those between are blended.
void scale_llama3(const RopeConfig& rope, std::vector<float>& frequencies) {
  const auto original = static_cast<float>(rope.original_max_seq_len);
  const auto low = static_cast<float>(rope.low_freq_factor);
  const auto longest = static_cast<float>(static_cast<double>(rope.original_max_seq_len) / rope.low_freq_factor);
  const auto shortest = static_cast<float>(static_cast<double>(rope.original_max_seq_len) / rope.high_freq_factor);
  const auto range = static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
  const auto factor = static_cast<float>(rope.factor);
  for (float& frequency : frequencies) {
    const float wavelength = static_cast<float>(kTwoPi) / frequency;
    if (wavelength > longest) {
      frequency /= factor;
    } else if (wavelength >= shortest) {
      const float smooth = (original / wavelength - low) / range;
      frequency = (1.0F - smooth) * frequency / factor + smooth * frequency;
    }
  }
}

/// The frequencies as YaRN scales them (arXiv:2309.00071): a ramp over the pairs, from unchanged to divided by `factor`.
std::vector<float> yarn_frequencies(const RopeConfig& rope, std::int64_t rotary_dim,
                                    const std::vector<float>& wavelengths) {
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
  std::vector<float> frequencies(wavelengths.size());
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const float along = (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float unchanged = 1.0F - std::clamp(along, 0.0F, 1.0F);
    const float divided = 1.0F / (static_cast<float>(rope.factor) * wavelengths[i]);
    frequencies[i] = divided * (1.0F - unchanged) + 1.0F / wavelengths[i] * unchanged;
  }
  return frequencies;
}

double yarn_attention_factor(const RopeConfig& rope) {
  if (rope.attention_factor) return *rope.attention_factor;
  const auto mscale_of = [&](double mscale) {
    return rope.factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(rope.factor) + 1.0;
  };
  if (rope.mscale != 0.0 && rope.mscale_all_dim != 0.0) return mscale_of(rope.mscale) / mscale_of(rope.mscale_all_dim);
  return mscale_of(1.0);
}

/// Multiplies each wavelength as LongRoPE does (arXiv:2402.13753), by one list of factors or the other.
void scale_longrope(const RopeConfig& rope, std::int64_t seq_len, std::vector<float>& wavelengths) {
  const std::vector<double>& factors = seq_len > rope.original_max_seq_len ? rope.long_factors : rope.short_factors;
  SS_CHECK(factors.size() == wavelengths.size(), "parse_model_config checks the lists");
  for (std::size_t i = 0; i < wavelengths.size(); ++i) wavelengths[i] *= static_cast<float>(factors[i]);
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
  std::vector<float> wavelengths = plain_wavelengths(theta, rotary_dim);
  RopeTable table;
  double attention_factor = 1.0;
  switch (rope.type) {
    case RopeType::kDefault:
    case RopeType::kDynamic:
      table.inv_freq = inverses(std::move(wavelengths));
      break;
    case RopeType::kLinear:
      table.inv_freq = inverses(std::move(wavelengths));
      for (float& frequency : table.inv_freq) frequency /= static_cast<float>(rope.factor);
      break;
    case RopeType::kLlama3:
      table.inv_freq = inverses(std::move(wavelengths));
      scale_llama3(rope, table.inv_freq);
      break;
    case RopeType::kYarn:
      table.inv_freq = yarn_frequencies(rope, rotary_dim, wavelengths);
      attention_factor = yarn_attention_factor(rope);
      break;
    case RopeType::kLongRope:
      scale_longrope(rope, lengths.seq_len, wavelengths);
      table.inv_freq = inverses(std::move(wavelengths));
      attention_factor = longrope_attention_factor(rope);
      break;
  }
  table.attention_factor = static_cast<float>(attention_factor);
  if (rope.query_beta != 0.0) {
    table.query_growth = {.beta = static_cast<float>(rope.query_beta),
                          .period = static_cast<std::int32_t>(rope.original_max_seq_len)};
  }
  return table;
}

}  // namespace secondsource
