#pragma once
// What the conformance suite (tests/conformance) found about one backend: the file that `conformance --json FILE`
// writes and `secondsource report --conformance FILE` reads.

#include <cstdint>
#include <string>
#include <vector>

namespace secondsource {

/// Cases of one kind, each held against the reference: "matmul", "attention_long", "protocol".
struct ConformanceFamily {
  std::string name;
  std::int64_t n_passed = 0;
  std::int64_t n_failed = 0;
  std::int64_t n_unsupported = 0;
  std::vector<std::string> findings;  ///< of failed cases, and reasons of unsupported ones, each once
};

struct ConformanceRecord {
  int schema_version = 1;
  std::string backend;
  std::string module_sha256;  ///< of the file that was tested: BackendRecord::module_sha256
  std::string device;
  std::vector<ConformanceFamily> families;
};

}  // namespace secondsource
