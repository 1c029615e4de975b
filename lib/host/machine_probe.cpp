#include "host/machine_probe.h"

#include <utility>

#include "backend_kit/host_device.h"
#include "host/limit_loops.h"
#include "host/limit_timing.h"

namespace secondsource {

Result<MachineProbe> MachineProbe::create(std::int32_t n_threads, std::vector<std::int32_t> cpus) {
  MachineProbe probe;
  SS_TRY(probe.buffer_, make_touched_buffer(*probe.account_, kBufferBytes, HugePages::kAdvise));
  probe.n_threads_ = n_threads > 0 ? n_threads : n_usable_cpus();
  probe.cpus_ = std::move(cpus);
  return probe;
}

MachineMoment MachineProbe::look() const {
  constexpr int kRepetitions = 3;
  const LimitLoops loops = best_limit_loops();
  MachineMoment moment;
  on_cpus(cpus_, [&] {
    moment.read_bytes_per_s = measure_read(loops, buffer_.as<const std::byte>(), n_threads_, kRepetitions).best;
    moment.f32_flops = measure_compute(loops.f32, n_threads_, kRepetitions).best;
  });
  return moment;
}

}  // namespace secondsource
