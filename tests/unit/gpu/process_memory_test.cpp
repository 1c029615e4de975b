// Tests which way of determining a process's device memory is chosen, and what each way counts.

#include "gpu/host/process_memory.h"

#include "support/catch.h"

using namespace secondsource;
using gpu::ProcessMemory;

namespace {

/// A simulated driver and runtime. Other processes hold 1000 bytes; this one holds a context of 300 bytes and later allocations.
struct Driver {
  bool lists_processes = true;
  bool has_sensors = true;
  bool runtime_knows = true;
  std::int64_t others = 1000;
  std::int64_t own = 0;

  ProcessMemory open() {
    ProcessMemory memory([this] {
      const auto reading = [&](const char* name, bool known, std::int64_t bytes) {
        return known ? TelemetryReading{name, static_cast<double>(bytes), ""}
                     : TelemetryReading{name, std::nullopt, "not available: the test"};
      };
      // The driver does not list the process until it has a context.
      return std::vector{reading("device_memory_used_bytes", has_sensors, others + own),
                         reading("process_device_memory_bytes", has_sensors && lists_processes && own > 0, own)};
    });
    own = 300;
    memory.made_context([this] { return runtime_knows ? std::optional(others + own) : std::nullopt; });
    return memory;
  }
};

}  // namespace

TEST_CASE("a process's memory is what the driver lists") {
  Driver driver;
  const ProcessMemory memory = driver.open();
  CHECK(memory.source() == "the driver's list of processes");
  CHECK(memory.bytes() == 300);
  driver.own += 4096;
  driver.others += 77;
  CHECK(memory.bytes() == 300 + 4096);
}

TEST_CASE("where the driver does not list it, as in a container, it is what the device's used memory grew by") {
  Driver driver{.lists_processes = false};
  const ProcessMemory memory = driver.open();
  CHECK(memory.source() == "the device's used memory, less what was used before");
  CHECK(memory.bytes() == 300);
  driver.own += 4096;
  CHECK(memory.bytes() == 300 + 4096);
}

TEST_CASE("without sensors it is what the runtime's used memory grew by since the context was made") {
  Driver driver{.has_sensors = false};
  const ProcessMemory memory = driver.open();
  CHECK(memory.source() == "the runtime's used memory, less what was used with the context");
  CHECK(memory.bytes() == 0);
  driver.own += 4096;
  CHECK(memory.bytes() == 4096);
}

TEST_CASE("where nobody can say it is not known") {
  Driver driver{.has_sensors = false, .runtime_knows = false};
  const ProcessMemory memory = driver.open();
  CHECK(memory.source() == "not available");
  CHECK_FALSE(memory.bytes());
}
