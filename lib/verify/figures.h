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

/// The devices that a backend counts as: a host is one, however many of its CPUs were used.
inline double devices_of(const Json* backend) {
  if (backend == nullptr || backend->at("device").at("is_host").get<bool>()) return 1;
  return backend->at("n_units_used").get<double>();
}

/// The hourly cost in USD of a backend (nullptr: one without a record); nullopt in a run without a price. How many units
/// of the price were used follows from what the backend is, and not from `n_used` of its share.
inline std::optional<double> charged_per_hour(const Json& record, const Json* backend) {
  const Json& price = record.at("price");
  if (price.is_null()) return std::nullopt;
  const double usd = price.at("usd_per_hour").get<double>();
  const double units_used = backend == nullptr ? 1 : backend->at("n_units_used").get<double>();
  const Json share = backend == nullptr ? Json() : backend->value("price_share", Json());
  if (share.is_null()) {  // a run of an earlier version
    const double units_in_price = price.at("n_units").get<double>();
    return usd * (units_in_price > 1 ? units_used : price.at("n_units_used").get<double>()) / units_in_price;
  }
  const std::string unit = share.at("unit").get<std::string>();
  if (unit == "instance") return usd;
  return usd * (unit == "device" ? devices_of(backend) : units_used) / share.at("n_of").get<double>();
}

}  // namespace secondsource::verify
