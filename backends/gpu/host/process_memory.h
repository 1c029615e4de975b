#pragma once
// How much of a device's memory this process holds: its allocations, and what has no byte count of its own (context,
// kernels, graphs, libraries). It is determined by the first of three sources that gives a figure:
//
//   1. the driver's list of processes;
//   2. the memory used by all processes, less what was used before this process created its context;
//   3. the same from the runtime, which needs a context: less what was used right after creating it.
//
// The last two also count what other processes allocate and free meanwhile. In a container the first gives no figure.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace secondsource::gpu {

class ProcessMemory {
 public:
  using ReadSensors = std::function<std::vector<TelemetryReading>()>;
  /// Device memory used by all processes; empty if the runtime cannot tell.
  using ReadUsed = std::function<std::optional<std::int64_t>()>;

  /// To be constructed before the context is created.
  explicit ProcessMemory(ReadSensors sensors);
  /// To be called right after the context is created, before anything is allocated.
  void made_context(ReadUsed used);

  /// Bytes that the process holds now; empty if no source gives a figure.
  [[nodiscard]] std::optional<std::int64_t> bytes() const;
  /// Text for the fingerprint: the source that gave a figure when the context was created.
  [[nodiscard]] const std::string& source() const { return source_; }

 private:
  [[nodiscard]] std::optional<std::int64_t> sensor(const char* name) const;

  ReadSensors sensors_;
  ReadUsed used_;
  std::optional<std::int64_t> sensed_before_;  ///< all processes, before the context
  std::optional<std::int64_t> used_before_;    ///< all processes, with the context
  std::string source_ = "not available";
};

}  // namespace secondsource::gpu
