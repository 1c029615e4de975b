#pragma once
// A number of the brief, with what it rests on. A figure that was computed from a quoted speed says so, however far it
// is from it: nothing quoted becomes measured on its way through the arithmetic.

#include <optional>
#include <string>
#include <vector>

#include "cost/interval.h"

namespace secondsource {

/// What kinds of number went into a figure. combined() is a union, so that no kind is ever lost.
struct Evidence {
  bool measured = false;             ///< a run of this project
  bool quoted = false;               ///< somebody else's figure
  bool derived = false;              ///< arithmetic was done on it
  bool projected = false;            ///< something was taken to hold that nobody measured
  std::vector<std::string> basis{};  ///< "run 0123abcd default/cpu/bf16/offline-b16", "quoted ID", "price KEY"

  [[nodiscard]] Evidence combined(const Evidence& other) const;
  [[nodiscard]] Evidence as_derived() const;
  [[nodiscard]] Evidence as_projected() const;
  /// "measured", "quoted", "derived from measured", "projected from measured and quoted", ...
  [[nodiscard]] std::string mark() const;
};

struct Figure {
  std::optional<double> value{}, low{}, high{};
  std::string unit{};
  std::string mark{};                ///< Evidence::mark(), "list price", "own cost" or "stated"
  std::vector<std::string> basis{};  ///< Evidence::basis
  std::string why_not{};             ///< where there is no value

  /// With six significant digits: what is beyond depends on the machine that did the arithmetic.
  [[nodiscard]] static Figure of(const Interval& interval, std::string unit, const Evidence& evidence);
  [[nodiscard]] static Figure stated(double value, std::string unit, std::string mark = "stated");
  [[nodiscard]] static Figure absent(std::string unit, std::string why_not);
};

}  // namespace secondsource
