#pragma once
// The findings of the conformance suite (tests/conformance) about one backend: the data of the file that `conformance
// --json FILE` writes and `secondsource report --conformance FILE` reads.

#include <cstdint>
#include <string>
#include <vector>

#include "core/fields.h"
#include "record/schema_version.h"

namespace secondsource {

/// Cases of one kind, each compared with the reference: "matmul", "attention_long", "protocol".
struct ConformanceFamily {
  std::string name;
  std::int64_t n_passed = 0;
  std::int64_t n_failed = 0;
  std::int64_t n_unsupported = 0;
  /// The findings of failed cases and the reasons of unsupported ones, each listed once.
  std::vector<std::string> findings;
};
SS_FIELDS(ConformanceFamily, name, n_passed, n_failed, n_unsupported, findings)

struct ConformanceRecord {
  SchemaVersion<1> schema_version{};
  std::string backend;
  std::string module_sha256;  ///< of the tested module file; compare BackendRecord::module_sha256
  std::string device;
  std::vector<ConformanceFamily> families;
};
SS_FIELDS(ConformanceRecord, schema_version, backend, module_sha256, device, families)

}  // namespace secondsource
