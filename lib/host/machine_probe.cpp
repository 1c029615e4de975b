#include "host/machine_probe.h"

#include <utility>

#include "backend_kit/host_device.h"
#include "host/cache_size.h"
#include "host/limit_loops.h"
#include "host/limit_timing.h"

namespace secondsource {

Result<MachineProbe> MachineProbe::create(std::int32_t n_threads, std::vector<std::int32_t> cpus,
                                          const HostFiles& files) {
  MachineProbe probe;
  const auto n_bytes = static_cast<std::size_t>(read_buffer_sizes(files).probe);
  SS_TRY(probe.buffer_, make_touched_buffer(*probe.account_, n_bytes, HugePages::kAdvise));
  probe.n_threads_ = n_threads > 0 ? n_threads : n_usable_cpus();
  probe.cpus_ = std::move(cpus);
  return probe;
}

MachineMoment MachineProbe::look() const {
  constexpr int kRepetitions = 3;
  const LimitLoops loops = best_limit_loops();
  MachineMoment moment{.buffer_bytes = static_cast<std::int64_t>(buffer_.size_bytes())};
  on_cpus(cpus_, [&] {
    moment.read_bytes_per_s = measure_read(loops, buffer_.as<const std::byte>(), n_threads_, kRepetitions).best;
    moment.f32_flops = measure_compute(loops.f32, n_threads_, kRepetitions).best;
  });
  return moment;
}

}  // namespace secondsource
