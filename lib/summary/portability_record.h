#pragma once
// The portability matrix as plain data; portability.h builds it and explains the figures.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/enum_names.h"
#include "core/fields.h"
#include "record/schema_text.h"
#include "record/schema_version.h"

namespace secondsource {

struct PortabilityPlatform {
  std::string backend;
  std::string device;
  std::vector<std::string> module_sha256;  ///< of the modules in all its runs
  /// The backend of plain loops with which others are compared; it is in no mean.
  bool is_oracle = false;
};
SS_FIELDS(PortabilityPlatform, backend, device, module_sha256, is_oracle)

/// The state of one operation on one platform.
enum class PartState : std::uint8_t { kMeasured, kUnsupported, kWrong, kNotMeasured };
SS_ENUM_NAMES(PartState, "measured", "unsupported", "wrong", "not measured")
SS_SCHEMA_SAYS_STRING(PartState)

/// The finding of the conformance suite on it.
enum class ConformanceVerdict : std::uint8_t { kPassed, kFailed, kNotJudged };
SS_ENUM_NAMES(ConformanceVerdict, "passed", "failed", "not judged")
SS_SCHEMA_SAYS_STRING(ConformanceVerdict)

/// One operation on one platform.
struct PortabilityPart {
  PartState state = PartState::kNotMeasured;
  std::string why;  ///< reason for any state but kMeasured, or for an absent share
  std::optional<double> roofline_share;
  std::optional<double> time_share;  ///< share of the time of all operations of this type on this platform
  ConformanceVerdict conformance = ConformanceVerdict::kNotJudged;
  std::vector<std::string> kernels;
  std::vector<std::string> fallbacks;  ///< why slower paths were taken; empty if none was
};
SS_FIELDS(PortabilityPart, state, why, roofline_share, time_share, conformance, kernels, fallbacks)

struct PortabilityRow {
  /// op_name(); for a fused group the operation with the work; "all" for all operations together.
  std::string operation;
  std::string type;                     ///< variant of the weights: "bf16", "int8-w8a8"
  std::string shape_class;              ///< such as "decode, 1 token"; "all" for an operation without counted work
  std::vector<PortabilityPart> parts;   ///< one per platform
  std::optional<double> portability{};  ///< the harmonic mean; empty if a share is absent
  /// The bundles whose variant of this type is outside the limits of its quality, with the figures; empty: none.
  std::string outside_limits{};
};
SS_FIELDS(PortabilityRow, operation, type, shape_class, parts, portability, outside_limits)

struct PortabilityMatrix {
  SchemaVersion<1> schema_version{};
  std::vector<PortabilityPlatform> platforms;
  std::vector<PortabilityRow> rows;
  std::vector<std::string> notes;  ///< fallbacks and refusals with their reasons
};
SS_FIELDS(PortabilityMatrix, schema_version, platforms, rows, notes)

[[nodiscard]] std::string to_json(const PortabilityMatrix& matrix);
/// The JSON Schema of the output of to_json().
[[nodiscard]] std::string portability_schema();

}  // namespace secondsource
