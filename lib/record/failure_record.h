#pragma once
// The record of a backend that failed.

#include <cstdint>
#include <string>

#include "core/enum_names.h"
#include "core/fields.h"
#include "record/schema_text.h"

namespace secondsource {

enum class FailureKind : std::uint8_t {
  kUnavailable,
  kUnsupported,
  kCrash,
  kHang,
  kOutOfMemory,
  kNoRate,    ///< a search found no rate at which the SLO is kept
  kBadInput,  ///< what was asked for cannot be measured, as a budget that holds no model
  kError,
};
SS_ENUM_NAMES(FailureKind, "unavailable", "unsupported", "crash", "hang", "out-of-memory", "slo", "bad-input", "error")
SS_SCHEMA_SAYS_STRING(FailureKind)

/// A backend that failed, for one cell or altogether: the line `"type": "failure"`.
struct FailureRecord {
  std::string backend;
  /// A cell's id; "BUNDLE/BACKEND/VARIANT" for all cells with this prefix; empty for the whole backend.
  std::string cell;
  FailureKind kind = FailureKind::kError;
  std::string message;
};
SS_FIELDS(FailureRecord, backend, cell, kind, message)

}  // namespace secondsource
