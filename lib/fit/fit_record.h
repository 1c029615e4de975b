#pragma once
// The result of `fit` as plain data, with its JSON (reports/schemas/fit.schema.json).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/fields.h"
#include "fit/projection.h"
#include "record/schema_version.h"

namespace secondsource {

inline constexpr int kFitSchemaVersion = 2;  ///< 1 had the memory for a dollar by the price of a device

SS_FIELDS(Ceiling, tokens_per_s, limit)

/// The price by the hour of the instances that hold a row's devices. Only whole instances can be rented: a server of
/// eight devices costs the same even if the model needs fewer of them.
struct FitPrice {
  double usd_per_hour = 0;         ///< of all `n_instances`
  double usd_per_device_hour = 0;  ///< of one device of a fully used instance
  std::int64_t n_instances = 0;
  std::int64_t devices_per_instance = 0;
  std::string row{};   ///< key of the price book's row
  std::string date{};  ///< the row's date for readers
};
SS_FIELDS(FitPrice, usd_per_hour, usd_per_device_hour, n_instances, devices_per_instance, row, date)

/// One variant on one kind of device. All bytes are of all devices together.
struct FitRow {
  std::string hardware{};  ///< id
  std::string name{};
  std::string variant{};
  double memory_bytes_of_one = 0;
  std::int64_t n_devices = 0;  ///< the fewest that hold weights, workspace and the sequences; 0: more than allowed
  std::string why_not{};       ///< why it does not fit; empty if it does
  double memory_bytes = 0;
  double weights_bytes = 0;
  double workspace_bytes = 0;
  double reserved_bytes = 0;             ///< what is left to driver, code and fragmentation
  double left_for_kv_bytes = 0;          ///< memory - reserve - weights - workspace
  double kv_bytes_per_sequence = 0;      ///< of `context` tokens
  std::int64_t n_sequences = 0;          ///< how many such sequences fit at once
  std::optional<Ceiling> decode_one{};   ///< projected: one sequence
  std::optional<Ceiling> decode_full{};  ///< projected: n_sequences
  std::optional<Ceiling> prefill{};      ///< projected: one prompt of `context` tokens
  std::optional<FitPrice> price{};
  std::string why_no_price{};                ///< with a price book: why the row has no price; else empty
  std::optional<double> gib_per_usd_hour{};  ///< memory of the row's devices for each dollar an hour that is paid
};
SS_FIELDS(FitRow, hardware, name, variant, memory_bytes_of_one, n_devices, why_not, memory_bytes, weights_bytes,
          workspace_bytes, reserved_bytes, left_for_kv_bytes, kv_bytes_per_sequence, n_sequences, decode_one,
          decode_full, prefill, price, why_no_price, gib_per_usd_hour)
SS_ADDED_FIELDS(FitRow, why_no_price)

struct FitReport {
  SchemaVersion<kFitSchemaVersion> schema_version{};
  std::string model{};
  std::int64_t n_parameters = 0;
  double n_active_parameters = 0;
  std::int64_t context = 0;      ///< tokens of a sequence
  std::int64_t n_sequences = 0;  ///< how many must fit at once
  std::string kv_dtype{};
  double reserved_share = 0;  ///< of each device's memory
  std::vector<FitRow> rows{};
  std::vector<std::string> sources{};  ///< "ID: SOURCE" for each device, and what none of them states
};
SS_FIELDS(FitReport, schema_version, model, n_parameters, n_active_parameters, context, n_sequences, kv_dtype,
          reserved_share, rows, sources)

[[nodiscard]] std::string to_json(const FitReport& report);
/// JSON Schema of the output of to_json().
[[nodiscard]] std::string fit_schema();

}  // namespace secondsource
