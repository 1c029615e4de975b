#include "host/device_limits.h"

#include <algorithm>

namespace secondsource {

MachineLimits limits_of_device(const DeviceRates& rates) {
  MachineLimits limits;
  limits.n_threads = std::max(1, rates.n_processors);  // 0 would mean that nothing was measured
  limits.instruction_set = rates.loops;
  for (const DeviceReadRate& read : rates.reads) limits.reads.push_back({read.buffer_bytes, read.bytes_per_s});
  limits.f32_flops = rates.f32_flops;
  limits.bf16_flops = rates.bf16_flops;
  limits.int8_ops = rates.int8_ops;
  limits.unmeasured = rates.unmeasured;
  return limits;
}

MachineMoment moment_of_device(const DeviceRates& rates) {
  MachineMoment moment{.f32_flops = rates.f32_flops};
  if (!rates.reads.empty()) {
    moment.read_bytes_per_s = rates.reads.back().bytes_per_s;
    moment.buffer_bytes = rates.reads.back().buffer_bytes;
  }
  return moment;
}

}  // namespace secondsource
