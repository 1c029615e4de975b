// Tests the host readers on trees with the content that real machines have.

#include <optional>
#include <vector>

#include "host/fingerprint.h"
#include "host/host_telemetry.h"
#include "support/catch.h"
#include "unit/host/host_tree.h"

namespace secondsource {
namespace {

using test::HostTree;

/// An x86 server with two sockets of two cores and cgroup version 2.
void write_server(const HostTree& root) {
  root.write("proc/cpuinfo",
             "processor\t: 0\nmodel name\t: AMD EPYC 9554 64-Core Processor\nflags\t\t: fpu sse4_2 avx2 avx512f\n\n"
             "processor\t: 1\nmodel name\t: AMD EPYC 9554 64-Core Processor\n");
  root.write("proc/meminfo", "MemTotal:       24689244 kB\nMemFree: 1 kB\nSwapTotal:             0 kB\n");
  root.write("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
  root.write("proc/loadavg", "0.52 0.58 0.59 1/467 12345\n");
  root.write("proc/uptime", "350735.47 234388.90\n");
  root.write("proc/self/cgroup", "0::/system.slice/run.scope\n");
  root.write("sys/fs/cgroup/system.slice/run.scope/memory.max", "8589934592\n");
  root.write("sys/fs/cgroup/system.slice/run.scope/cpu.max", "150000 100000\n");
  root.write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  root.write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
  root.write("sys/devices/system/cpu/cpufreq/boost", "1\n");
  root.write("sys/devices/system/cpu/smt/control", "off\n");
  for (int cpu = 0; cpu < 4; ++cpu) {
    const std::string topology = "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    root.write(topology + "physical_package_id", std::to_string(cpu / 2) + "\n");
    root.write(topology + "core_id", std::to_string(cpu % 2) + "\n");
  }
  root.write("sys/devices/system/node/node0/cpulist", "0-3\n");
  root.write("etc/os-release", "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n");
}

TEST_CASE("the fingerprint reads a server") {
  const HostTree root;
  write_server(root);
  const std::vector<HostFact> facts = host_fingerprint(root.files());
  const std::pair<const char*, const char*> expected[] = {
      {"cpu_model", "AMD EPYC 9554 64-Core Processor"},
      {"cpu_flags", "fpu sse4_2 avx2 avx512f"},
      {"logical_cpus", "4"},
      {"physical_cores", "4"},
      {"sockets", "2"},
      {"memory_bytes", "25281785856"},
      {"swap_bytes", "0"},
      {"thp_mode", "madvise"},
      {"numa_nodes", "1"},
      {"kernel", "6.1.0-18-amd64"},
      {"governor", "performance"},
      {"turbo", "on"},
      {"smt", "off"},
      {"load_1min", "0.52"},
      {"cgroup_cpu_limit", "1.50"},
      {"cgroup_memory_limit_bytes", "8589934592"},
      {"os", "Debian GNU/Linux 12 (bookworm)"},
      {"uptime_s", "350735.47"},
  };
  for (const auto& [name, value] : expected) {
    CAPTURE(name);
    CHECK(fact(facts, name) == value);
  }
}

TEST_CASE("cgroup version 1 limits are read, its largest number is no limit") {
  const HostTree root;
  root.write("proc/self/cgroup", "4:memory:/box\n1:cpu:/box\n0::/\n");
  root.write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712\n");
  root.write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "200000\n");
  root.write("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
  const std::vector<HostFact> facts = host_fingerprint(root.files());
  CHECK(fact(facts, "cgroup_memory_limit_bytes") == "none");
  CHECK(fact(facts, "cgroup_cpu_limit") == "2.00");
}

TEST_CASE("a fact that cannot be read says why, and is never empty or zero") {
  const HostTree root;
  for (const HostFact& one : host_fingerprint(root.files())) {
    CAPTURE(one.name);
    CHECK(one.value.has_value() != !one.why_not.empty());
    if (!one.value) CHECK(one.why_not.starts_with("not available: "));
    if (one.value) CHECK_FALSE(one.value->empty());
  }
}

TEST_CASE("host telemetry is over the time since the last reading") {
  const HostTree root;
  root.write("proc/stat",
             "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 50 0 50 400 0 0 0 0\ncpu1 50 0 50 400 0 0 0 0\nctxt 5\n");
  root.write("sys/class/powercap/intel-rapl:0/energy_uj", "1000000\n");
  root.write("sys/class/powercap/intel-rapl:0:0/energy_uj", "999\n");
  HostTelemetry telemetry(root.files(), {0, 1, 7});
  // Since then, CPU 0 was busy all of the time and CPU 1 half of it.
  root.write("proc/stat",
             "cpu  250 0 100 850 0 0 0 0 0 0\ncpu0 150 0 50 400 0 0 0 0\ncpu1 100 0 50 450 0 0 0 0\nctxt 5\n");
  root.write("sys/class/powercap/intel-rapl:0/energy_uj", "3000000\n");
  const std::vector<TelemetryReading> readings = telemetry.read();
  const auto value = [&](const char* name) -> std::optional<double> {
    for (const TelemetryReading& reading : readings) {
      if (reading.name == name) return reading.value;
    }
    return std::nullopt;
  };
  CHECK(value("host_cpu_utilisation").value_or(-1) == Approx(0.75));
  CHECK(value("host_cpu_utilisation_max").value_or(-1) == Approx(1.0));
  CHECK(value("cpu0_utilisation").value_or(-1) == Approx(1.0));
  CHECK(value("cpu1_utilisation").value_or(-1) == Approx(0.5));
  CHECK_FALSE(value("cpu7_utilisation"));
  CHECK(value("host_power_w").value_or(-1) > 0);
  CHECK_FALSE(value("host_frequency_hz"));
  CHECK_FALSE(value("process_rss_bytes"));
}

TEST_CASE("a summary of telemetry has means, maxima and reasons") {
  const std::vector<TelemetrySnapshot> snapshots = {
      {0, {{"power_w", 10.0, ""}, {"busy_max", 0.5, ""}, {"clock_hz", std::nullopt, "not available: no driver"}}},
      {1, {{"power_w", 30.0, ""}, {"busy_max", 0.9, ""}, {"clock_hz", std::nullopt, "not available: no driver"}}},
  };
  const std::vector<TelemetryReading> summary = summarize_telemetry(snapshots);
  REQUIRE(summary.size() == 3);
  CHECK(summary[0].value == 20.0);
  CHECK(summary[1].value == 0.9);
  CHECK_FALSE(summary[2].value);
  CHECK(summary[2].why_not == "not available: no driver");
}

TEST_CASE("counts of a summary are added, and a source adds what follows from them") {
  class Counting final : public TelemetrySource {
   public:
    std::vector<TelemetryReading> read() override {
      return {{"hits_count", n_refreshed_, ""}, {"asked_count", 4.0, ""}};
    }
    void refresh() override { n_refreshed_ += 1; }
    void derive(std::vector<TelemetryReading>& summary) const override {
      summary.push_back({"hit_share", *summary[0].value / *summary[1].value, ""});
    }

   private:
    double n_refreshed_ = 0;
  };
  const std::vector<TelemetrySnapshot> snapshots = {
      {0, {{"a_count", 3.0, ""}, {"b_count", std::nullopt, "not available: x"}}},
      {1, {{"a_count", 4.0, ""}, {"b_count", std::nullopt, "not available: x"}}},
  };
  const std::vector<TelemetryReading> summary = summarize_telemetry(snapshots);
  REQUIRE(summary.size() == 2);
  CHECK(summary[0].value == 7.0);
  CHECK_FALSE(summary[1].value);
  Counting source;
  std::vector<TelemetrySnapshot> noted;
  std::optional<TelemetrySampler> sampler;
  sampler.emplace(std::vector<TelemetrySource*>{&source}, 3'600'000'000'000,
                  [&](const TelemetrySnapshot& one) { noted.push_back(one); });
  std::size_t n_taken = sampler->take().size();
  const std::vector<TelemetrySnapshot> second = sampler->take();
  n_taken += second.size();
  const auto taken = sampler->summary_of(second);
  sampler.reset();  // the sampler's own first reading may not come before this
  // The series has both ends of a repetition, however short it is.
  CHECK(n_taken >= 2);
  CHECK(noted.size() >= n_taken);
  REQUIRE(taken.size() == 3);
  CHECK(taken[0].value.value_or(0) >= 2.0);  // the reading after the second refresh, and perhaps the sampler's first
  CHECK(taken[2].value.value_or(0) == Approx(*taken[0].value / *taken[1].value));
}

TEST_CASE("this machine's own usage can be read") {
  const HostUsage before = read_host_usage(HostFiles());
  const auto peak = peak_rss_bytes(HostFiles());
  REQUIRE(peak);
  CHECK(*peak > 1 << 20);
  CHECK(read_host_usage(HostFiles()).process_cpu_s >= before.process_cpu_s);
}

}  // namespace
}  // namespace secondsource
