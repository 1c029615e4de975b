#pragma once
// Reads members of raw lines, and makes figures in the form of summary.json.

#include <cstdint>
#include <optional>
#include <vector>

#include "verify/arithmetic.h"
#include "verify/raw_run.h"

namespace secondsource::verify {

using Values = std::vector<double>;

inline std::int64_t whole(const Json& object, const char* name) {
  return object.at(name).get<std::int64_t>();
}

/// A member that may be null.
inline std::optional<double> number(const Json& object, const char* name) {
  const Json& value = object.at(name);
  return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}

inline std::optional<std::int64_t> whole_or_null(const Json& object, const char* name) {
  const Json& value = object.at(name);
  return value.is_null() ? std::nullopt : std::optional(value.get<std::int64_t>());
}

template <typename T>
inline Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

inline double per_second(double count, double ns) {
  return ns > 0 ? count / ns * 1e9 : 0;
}

/// A figure of `n` samples, with the interval of a rerun computed from its value in each repetition.
inline Json figure(std::size_t n, const std::optional<double>& value, const Values& by_repetition) {
  Json result = {{"value", or_null(value)}, {"low", nullptr}, {"high", nullptr}, {"n", n}};
  if (!value) return result;
  if (const auto bounds = rerun_bounds(*value, by_repetition)) {
    result["low"] = bounds->low;
    result["high"] = bounds->high;
  }
  return result;
}

/// A median over repetitions; with few of them it has no interval.
inline Json figure_over_repetitions(const Values& values) {
  return figure(values.size(), quantile(values, 0.5), values);
}

/// The record of the backend that a cell names; nullptr if there is none.
inline const Json* backend_of(const Json& record, const Json& key) {
  for (const Json& backend : record.at("backends")) {
    if (backend.at("name") == key.at("backend")) return &backend;
  }
  return nullptr;
}

/// The hourly cost in USD of a backend that used `n_units` units; nullopt in a run without a price.
inline std::optional<double> charged_per_hour(const Json& record, double n_units) {
  const Json& price = record.at("price");
  if (price.is_null()) return std::nullopt;
  const double units_in_price = price.at("n_units").get<double>();
  const double units_charged = units_in_price > 1 ? n_units : price.at("n_units_used").get<double>();
  return price.at("usd_per_hour").get<double>() * units_charged / units_in_price;
}

}  // namespace secondsource::verify
