#pragma once
// The highest rate at which a promise is kept, by doubling or halving until it is between two rates, then by bisection
// of their logarithms. Knows nothing of loads: a rate goes out, a verdict comes in.

#include <cstdint>
#include <optional>

namespace secondsource {

class RateSearch {
 public:
  struct Options {
    double first = 64;         ///< where to begin: a rate that is too high shows soon
    double lowest = 1.0 / 64;  ///< below it nothing is tried
    double highest = 1e4;
    double resolution = 1.05;  ///< ends when the two rates differ by less than this factor
    std::int32_t max_probes = 24;
  };
  RateSearch() : RateSearch(Options()) {}
  explicit RateSearch(const Options& options) : options_(options) {}

  /// The next rate to try; nullopt when the search is over.
  [[nodiscard]] std::optional<double> next() const;
  /// What came of a rate, in the order of next().
  void tell(double rate, bool kept);
  /// The highest rate that was kept so far; nullopt: none was.
  [[nodiscard]] std::optional<double> best() const { return kept_; }
  /// The lowest rate that was not.
  [[nodiscard]] std::optional<double> limit() const { return missed_; }

 private:
  Options options_;
  std::optional<double> kept_;
  std::optional<double> missed_;
  std::int32_t n_probes_ = 0;
};

}  // namespace secondsource
