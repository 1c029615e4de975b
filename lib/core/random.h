#pragma once
// Counter-based random numbers: value i of stream s is a pure function of (s, i). There is no hidden state, so a draw
// does not depend on how many draws others made, in which order, or in which batch.

#include <cstdint>

namespace secondsource {

/// 64 random bits of (seed, counter): two rounds of the SplitMix64 finalizer (Steele, Lea, Flood, OOPSLA 2014).
[[nodiscard]] constexpr std::uint64_t random_bits(std::uint64_t seed, std::uint64_t counter) {
  const auto mix = [](std::uint64_t z) {
    z += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  };
  return mix(mix(seed) ^ mix(counter * 0xd1342543de82ef95ULL + 1));
}

/// Uniform in [0, 1), 53 bits.
[[nodiscard]] constexpr double random_unit(std::uint64_t seed, std::uint64_t counter) {
  return static_cast<double>(random_bits(seed, counter) >> 11) * 0x1p-53;
}

/// A stream of these values, for code that only needs the next one. It has value semantics: copies share no state.
class RandomStream {
 public:
  explicit RandomStream(std::uint64_t seed) : seed_(seed) {}
  std::uint64_t next_bits() { return random_bits(seed_, counter_++); }
  double next_unit() { return random_unit(seed_, counter_++); }
  /// What next_unit() will give after `n` more draws, for loops that make several draws at once and then skip() them.
  [[nodiscard]] double unit_after(std::uint64_t n) const { return random_unit(seed_, counter_ + n); }
  void skip(std::uint64_t n) { counter_ += n; }
  /// Uniform in [0, bound), bound > 0; the bias of at most bound / 2^53 is negligible here.
  std::uint64_t next_below(std::uint64_t bound) {
    return static_cast<std::uint64_t>(next_unit() * static_cast<double>(bound));
  }

 private:
  std::uint64_t seed_;
  std::uint64_t counter_ = 0;
};

}  // namespace secondsource
