#pragma once
// Faults that can be planted in any backend, to show what the program does when one fails, hangs, slows down or
// computes wrongly. Set by BackendOptions::extra {"fault", "KIND[:ARGUMENT[:OPERATION]]"}, which `run --fault
// BACKEND=KIND[:ARGUMENT]` fills in. The report's fingerprint carries it: a faulty run can never pass for a clean one.
//
//   fail:N             the Nth submit fails and poisons the backend
//   crash:N            the Nth submit ends in SIGSEGV
//   abort:N            the Nth submit ends in abort()
//   hang:N             the Nth wait never returns
//   stall:N            the Nth wait reports that its deadline passed
//   oom:N              the Nth prepare_weight has no memory
//   oom-kv:N           the Nth create_kv_pool has no memory
//   eat-memory:N       the first submit uses up N GiB for good, then fails
//   garbage:N          from the Nth step on, every token is the wrong one
//   slow:P[:OPERATION] every step takes P percent longer, or as if that operation (op_name) alone did
//
// N is 1 when left out, P is 50.

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

enum class FaultKind : std::uint8_t {
  kFail,
  kCrash,
  kAbort,
  kHang,
  kStall,
  kOutOfMemory,
  kOutOfMemoryKv,
  kEatMemory,
  kGarbage,
  kSlow,
};

struct FaultSpec {
  FaultKind kind = FaultKind::kFail;
  std::int64_t argument = 1;  ///< the Nth call, from 1; or percent for kSlow
  std::string operation;      ///< kSlow: op_name() of the one that is slow; empty: the whole step
  std::string text;           ///< as it was given, for the fingerprint
};

/// Errors: kInvalidInput, listing the kinds.
Result<FaultSpec> parse_fault(std::string_view text);

}  // namespace secondsource
