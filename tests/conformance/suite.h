#pragma once
// Runs the whole suite on one backend.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "conformance/case.h"
#include "conformance/protocol.h"

namespace secondsource::conformance {

struct SuiteOptions {
  std::uint64_t first_seed = 1;  ///< the suite runs once per seed, from which each case derives its own
  std::uint64_t last_seed = 1;
  std::int64_t case_seed = -1;        ///< if >= 0: only the case with this seed
  std::vector<std::string> families;  ///< empty: all families and the protocol checks
  bool stop_at_first = false;         ///< for mutants, for which one failure is enough
};

/// A backend under test with certain options. The expected results of each case are computed once for all of them.
struct Tested {
  std::string options;  ///< options for messages, like "isa=avx2"; empty if there are none
  MakeBackend make;
};

enum class Verdict : std::uint8_t { kPassed, kFailed, kUnsupported };

struct CaseReport {
  std::string options;  ///< Tested::options
  std::string family;
  std::string name;
  std::uint64_t seed = 0;
  Verdict verdict = Verdict::kPassed;
  std::string text;  ///< the finding, or why the case is not supported
};

/// Runs the suite and calls `done` after each case. Returns the number of failures.
std::int64_t run_suite(std::span<const Tested> tested, const SuiteOptions& options,
                       const std::function<void(const CaseReport&)>& done);
std::int64_t run_suite(const MakeBackend& make, const SuiteOptions& options,
                       const std::function<void(const CaseReport&)>& done);

}  // namespace secondsource::conformance
