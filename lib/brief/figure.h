#pragma once
// A number of the brief with the evidence it rests on. Every figure that was computed from a quoted speed is marked as
// such, however many steps of arithmetic lie between them.

#include <optional>
#include <string>
#include <vector>

#include "core/fields.h"
#include "cost/interval.h"

namespace secondsource {

/// The kinds of number that went into a figure. combined() is a union, so that no kind is ever lost.
struct Evidence {
  bool measured = false;             ///< measured in a run of this project
  bool quoted = false;               ///< published by another party
  bool derived = false;              ///< computed from other figures
  bool projected = false;            ///< based on an assumption that was not measured
  std::vector<std::string> basis{};  ///< like "run 0123abcd default/cpu/bf16/offline-b16", "quoted ID" or "price KEY"

  [[nodiscard]] Evidence combined(const Evidence& other) const;
  [[nodiscard]] Evidence as_derived() const;
  [[nodiscard]] Evidence as_projected() const;
  /// Returns "measured", "quoted", "derived from measured", "projected from measured and quoted" and so on.
  [[nodiscard]] std::string mark() const;
};

struct Figure {
  std::optional<double> value{}, low{}, high{};
  std::string unit{};
  std::string mark{};                ///< Evidence::mark(), "list price", "own cost" or "stated"
  std::vector<std::string> basis{};  ///< Evidence::basis
  std::string why_not{};             ///< the reason when there is no value

  /// Rounds to six significant digits, since further digits may differ between machines.
  [[nodiscard]] static Figure of(const Interval& interval, std::string unit, const Evidence& evidence);
  [[nodiscard]] static Figure stated(double value, std::string unit, std::string mark = "stated");
  [[nodiscard]] static Figure absent(std::string unit, std::string why_not);
};
SS_FIELDS(Figure, value, low, high, unit, mark, basis, why_not)

}  // namespace secondsource
