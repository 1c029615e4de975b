#pragma once
// Faults that can be planted in any backend, to show how the program behaves when a backend fails, hangs, slows down or
// computes wrongly. A fault is set by BackendOptions::extra {"fault", "KIND[:ARGUMENT[:OPERATION]]"}, which `run
// --fault BACKEND=KIND[:ARGUMENT]` fills in. The report's fingerprint contains the fault, so that a faulty run can
// never pass for a clean one.
//
//   fail:N             the Nth submit fails and poisons the backend
//   crash:N            the Nth submit ends in SIGSEGV
//   abort:N            the Nth submit calls abort()
//   hang:N             the Nth wait never returns
//   stall:N            the Nth wait reports that its deadline passed
//   oom:N              the Nth prepare_weight fails for lack of memory
//   oom-kv:N           the Nth create_kv_pool fails for lack of memory
//   eat-memory:N       the first submit allocates N GiB and never frees them, then fails
//   garbage:N          from the Nth step on, every token is wrong
//   slow:P[:OPERATION] every step takes P percent longer; with OPERATION (op_name), by P percent of that operation's time
//
// N is 1 by default, P is 50.

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
  std::int64_t argument = 1;  ///< the number of the call, from 1; for kSlow the percentage
  std::string operation;      ///< kSlow: op_name() of the slow operation; empty: the whole step
  std::string text;           ///< the text as given, for the fingerprint
};

/// Errors: kInvalidInput, with a list of the kinds.
Result<FaultSpec> parse_fault(std::string_view text);

/// Says whoever reads results of this backend that it has a fault.
[[nodiscard]] std::string planted_fault_note(std::string_view backend, std::string_view fault);

}  // namespace secondsource
