// Tests readings of a server's processes, in recorded trees of /proc and, to see what the kernel really writes, of this test's own.

#include "host/process_tree.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/child_process.h"
#include "core/clock.h"
#include "host_tree.h"
#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

/// A line of /proc/PID/stat (proc(5)) with this name, parent, four times in ticks and number of resident pages.
std::string stat_line(const std::string& pid, const std::string& name, const std::string& parent,
                      const std::string& times, const std::string& pages) {
  return pid + " (" + name + ") S " + parent + " 1 1 0 -1 4194304 10 0 0 0 " + times + " 20 0 4 0 100 1000000 " +
         pages + " 18446744073709551615 1 1 0 0 0\n";
}

std::optional<double> value_of(const std::vector<TelemetryReading>& readings, std::string_view name) {
  for (const TelemetryReading& reading : readings) {
    if (reading.name == name) return reading.value;
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("a process counts with its descendants, whatever their names are") {
  const HostTree root;
  root.write("proc/100/stat", stat_line("100", "vllm", "1", "10 5 100 50", "1000"));
  root.write("proc/101/stat", stat_line("101", "a) S 1 (b", "100", "20 0 0 0", "500"));
  root.write("proc/102/stat", stat_line("102", "worker", "101", "30 0 0 0", "250"));
  root.write("proc/103/stat", stat_line("103", "another server", "1", "99 0 0 0", "9999"));
  root.write("proc/self/stat", "no process\n");
  CHECK(process_tree(root.files(), 100) == std::vector<std::int64_t>{100, 101, 102});
  CHECK(process_tree(root.files(), 104).empty());
  ProcessTreeTelemetry telemetry(root.files(), 100, false);
  root.write("proc/101/stat", stat_line("101", "a) S 1 (b", "100", "70 0 0 0", "600"));
  root.write("proc/100/smaps_rollup", "00400000-7fff [rollup]\nRss:  4000 kB\nPss:  3000 kB\nPss_Anon: 1 kB\n");
  root.write("proc/101/smaps_rollup", "00400000-7fff [rollup]\nRss:  4000 kB\nPss:  1000 kB\n");
  telemetry.refresh();
  const auto readings = telemetry.read();
  const double page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  CHECK(value_of(readings, "server_processes") == 3);
  CHECK(value_of(readings, "server_rss_bytes") == page * 1850);
  CHECK(value_of(readings, "server_rss_bytes_max") == page * 1850);
  CHECK(value_of(readings, "server_pss_bytes") == 4000.0 * 1024);
  CHECK(value_of(readings, "server_cpus_busy").value_or(0) > 0);  // 50 ticks in the short time that this test took
  CHECK_FALSE(value_of(telemetry.read(), "server_pss_bytes"));    // read at the ends of a repetition only
  CHECK_FALSE(value_of(readings, "container_memory_bytes"));
}

TEST_CASE("a container has the memory and the CPU time of its control group") {
  const HostTree root;
  root.write("proc/100/stat", stat_line("100", "conmon", "1", "1 0 0 0", "10"));
  root.write("proc/100/cgroup", "0::/machine.slice/libpod-1.scope\n");
  root.write("sys/fs/cgroup/machine.slice/libpod-1.scope/memory.current", "1048576\n");
  root.write("sys/fs/cgroup/machine.slice/libpod-1.scope/cpu.stat", "usage_usec 1000000\nuser_usec 1\n");
  ProcessTreeTelemetry telemetry(root.files(), 100, true);
  root.write("sys/fs/cgroup/machine.slice/libpod-1.scope/cpu.stat", "usage_usec 3000000\nuser_usec 1\n");
  const auto readings = telemetry.read();
  CHECK(value_of(readings, "container_memory_bytes") == 1048576);
  CHECK(value_of(readings, "container_cpus_busy").value_or(0) > 0);
}

TEST_CASE("what of a server cannot be read says why") {
  const HostTree root;
  root.write("proc/100/stat", "100 (short) S 1 2\n");
  CHECK_FALSE(read_process_stat(root.files(), 100));
  ProcessTreeTelemetry gone(root.files(), 100, true);
  gone.refresh();
  int n_reasons = 0;
  for (const TelemetryReading& reading : gone.read()) {
    CAPTURE(reading.name);
    CHECK_FALSE(reading.value);
    CHECK(reading.why_not.starts_with("not available: "));
    ++n_reasons;
  }
  CHECK(n_reasons == 4);  // memory, proportional memory, and both of the container
}

TEST_CASE("the kernel's own lines are understood: a child of this test and its child") {
  ChildCommand command;
  command.program = "/bin/sh";
  command.arguments = {"-c", "sleep 60 & echo started; wait"};
  auto child = ChildProcess::start(command);
  REQUIRE_OK(child);
  REQUIRE_OK(child->receive(now_ns() + 20'000'000'000));
  const auto tree = process_tree(HostFiles(), child->group());
  CHECK(tree.size() == 2);
  ProcessTreeTelemetry telemetry(HostFiles(), child->group(), false);
  telemetry.refresh();
  const auto readings = telemetry.read();
  CHECK(value_of(readings, "server_processes") == 2);
  CHECK(value_of(readings, "server_rss_bytes").value_or(0) > 100'000);
  const auto own = process_tree(HostFiles(), ::getpid());
  CHECK(std::ranges::find(own, child->group()) != own.end());
  child->kill_group();
}
