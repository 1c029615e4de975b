#pragma once
// The time of a cell by operation.

#include <cstdint>
#include <string>
#include <vector>

#include "core/fields.h"

namespace secondsource {

/// The time of all calls of one operation over rows of one size class.
struct OperationTime {
  std::string operation;    ///< op_name(); for a fused group, the names of all operations joined by +
  std::string label;        ///< place in a layer or in the model, such as "attention.qkv"
  std::string shape_class;  ///< "decode, 1 token", "prefill, 65-128 tokens": a range between two powers of two
  std::string shape;        ///< columns read and written, such as "1024 -> 3072"
  std::string kernel;
  std::string fallback;  ///< why the backend took a slower path; empty if it did not
  std::int64_t n_calls = 0;
  std::int64_t ns = 0;
  double flops = 0;
  double bytes = 0;                         ///< bytes of weights and cache that must be read
  std::vector<std::int64_t> ns_by_layer{};  ///< empty for operations outside the layers
};
SS_FIELDS(OperationTime, operation, label, shape_class, shape, kernel, fallback, n_calls, ns, flops, bytes, ns_by_layer)

/// An operation that a backend does not support, with weights of one encoding or with any.
struct Refusal {
  std::string operation;  ///< op_name()
  std::string type;       ///< such as "int4" or "int8-w8a8"; empty for any type
  std::string reason;
};
SS_FIELDS(Refusal, operation, type, reason)

/// The time of a cell by operation, from a separate pass with a clock around every operation; never a sample. The line
/// `"type": "operations"`.
struct OperationTimes {
  std::string cell;
  std::int64_t n_requests = 0;
  std::int64_t n_steps = 0;
  std::int64_t output_tokens = 0;
  std::int64_t wall_ns = 0;    ///< duration of the pass
  std::int64_t device_ns = 0;  ///< time in steps; the rest of wall_ns is host time, scheduling and waiting for arrivals
  double overhead = 0;         ///< cost of the clocks: device_ns of the pass / that of the same pass without them - 1
  std::vector<OperationTime> operations;
  std::vector<Refusal> refusals;  ///< all refusals of the backend, whether or not the cell needs the operation
};
SS_FIELDS(OperationTimes, cell, n_requests, n_steps, output_tokens, wall_ns, device_ns, overhead, operations, refusals)

}  // namespace secondsource
