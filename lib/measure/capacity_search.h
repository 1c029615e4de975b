#pragma once
// Searches for the highest rate of arrivals at which an SLO is kept, and holds it. The search begins near the rate that
// a full system completes, moves in growing steps until the answer lies between two rates, and bisects on a logarithmic
// scale. A miss counts when a second attempt misses as well, because a neighbour's burst also makes requests late. The
// rate that was found must then hold for longer; if it does not, the search backs off and holds again. It is independent
// of loads: the caller makes each attempt and reports it.

#include <cstdint>
#include <optional>
#include <string>

#include "record/rate_probe.h"

namespace secondsource {

class CapacitySearch {
 public:
  struct Options {
    std::int32_t in_flight = 16;   ///< requests that the system computes at once
    std::int32_t n_requests = 0;   ///< per attempt, three times as many in a hold; 0: as many as the times below take
    double probe_s = 10;           ///< an attempt lasts at least this long,
    double service_times = 5;      ///< and this many times what a request takes in a full system,
    double fewest_requests = 60;   ///< and has at least this many requests
    double hold_factor = 3;        ///< a hold lasts this many times longer
    double first_share = 0.8;      ///< of the rate at saturation: the first rate to try
    double highest_share = 2;      ///< of the rate at saturation, which a burst may have made too low: none is higher
    double first_step = 1.25;      ///< factor between the first two rates; the n-th step has its n-th power
    double resolution = 1.05;      ///< the search ends when two rates differ by less; back-offs are by its powers
    std::int32_t most_steps = 7;   ///< in one direction, without an end in sight
    std::int32_t most_holds = 10;  ///< holds that may fail
    std::int32_t budget_probes =
        12;  ///< the search (without holds) takes no longer than this many attempts of full length
  };
  /// The next attempt. `rate_per_s` is 0 for kSaturation, which has no arrivals.
  struct Attempt {
    ProbePhase phase = ProbePhase::kSearch;
    double rate_per_s = 0;
    std::int32_t n_requests = 0;
  };

  explicit CapacitySearch(const Options& options) : options_(options) {}

  /// What to try next; nullopt if the rate holds or none does.
  [[nodiscard]] std::optional<Attempt> next() const;
  /// Reports an attempt, in the order of next(). A failed repetition at the rate that held is reported as a failed hold.
  void tell(const RateProbe& probe);
  /// Says that the time is used up: the best rate so far is held, and no lower one if it does not hold. Does nothing
  /// while no rate was kept.
  void end_search() { is_ended_ = kept_.has_value(); }

  /// The rate that held; nullopt if none did so far.
  [[nodiscard]] std::optional<double> held() const { return held_; }
  /// Requests of a repetition at the rate that held.
  [[nodiscard]] std::int32_t n_requests() const { return n_requests_at(held_.value_or(0), 1); }
  /// One sentence: between which rates the answer lies so far, or why there is none.
  [[nodiscard]] std::string state() const;

 private:
  void tell_search(const RateProbe& probe);
  [[nodiscard]] std::optional<double> next_rate() const;
  [[nodiscard]] bool is_search_over() const;
  [[nodiscard]] bool is_hold_over() const;
  [[nodiscard]] double step() const;
  [[nodiscard]] double seconds_at(double rate) const;
  [[nodiscard]] std::int32_t n_requests_at(double rate, double factor) const;

  Options options_;
  std::optional<double> saturation_;  ///< requests per second
  std::optional<double> kept_;        ///< the highest rate that kept the SLO
  std::optional<double> missed_;      ///< the lowest rate that missed it twice
  std::optional<double> doubtful_;    ///< missed it once; tried again next
  std::optional<double> to_hold_;     ///< the rate of the next hold after one that failed
  std::optional<double> held_;
  std::int32_t n_steps_ = 0;  ///< while only one of kept_ and missed_ is known
  std::int32_t n_failed_holds_ = 0;
  double last_failed_ = 0;  ///< the rate of the last of them
  double search_s_ = 0;
  bool is_ended_ = false;
  bool was_never_ = false;   ///< the verdict on the last attempt of the search was kNever
  std::string why_never_{};  ///< why no rate can keep the SLO; empty while one may
};

}  // namespace secondsource
