#pragma once
// Searches for the highest rate at which an SLO is kept: doubles or halves the rate until the answer lies between two
// rates, then bisects on a logarithmic scale. It is independent of loads: the caller tries each rate and reports the
// verdict.

#include <cstdint>
#include <optional>

namespace secondsource {

class RateSearch {
 public:
  struct Options {
    double first = 64;         ///< first rate to try; a rate that is too high is recognised quickly
    double lowest = 1.0 / 64;  ///< no lower rate is tried
    double highest = 1e4;
    double resolution = 1.05;  ///< the search ends when the two rates differ by less than this factor
    std::int32_t max_probes = 24;
  };
  RateSearch() : RateSearch(Options()) {}
  explicit RateSearch(const Options& options) : options_(options) {}

  /// The next rate to try; nullopt if the search is over.
  [[nodiscard]] std::optional<double> next() const;
  /// Reports the verdict on a rate, in the order of next().
  void tell(double rate, bool kept);
  /// The highest rate so far at which the SLO was kept; nullopt if there is none.
  [[nodiscard]] std::optional<double> best() const { return kept_; }
  /// The lowest rate at which it was not kept.
  [[nodiscard]] std::optional<double> limit() const { return missed_; }

 private:
  Options options_;
  std::optional<double> kept_;
  std::optional<double> missed_;
  std::int32_t n_probes_ = 0;
};

}  // namespace secondsource
