#pragma once
// How much of a device's memory this process holds: what it allocated, and what nobody asked for by the byte (the
// context, kernels, graphs, libraries). Asked of the driver, by the first of three ways that it answers:
//
//   1. its list of processes;
//   2. the memory that is used by everybody, less what was used before this process made its context;
//   3. the same from the runtime, which needs the context: less what was used right after that was made.
//
// The last two count what other processes take and give meanwhile. In a container the first has no answer.

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
  /// Bytes of the device that are used, by everybody; empty where the runtime cannot say.
  using ReadUsed = std::function<std::optional<std::int64_t>()>;

  /// Before the context is made.
  explicit ProcessMemory(ReadSensors sensors);
  /// The context is there now, and nothing else.
  void made_context(ReadUsed used);

  /// Now; empty where none of the ways has an answer.
  [[nodiscard]] std::optional<std::int64_t> bytes() const;
  /// The way that was found to answer when the context was made, in words.
  [[nodiscard]] const std::string& source() const { return source_; }

 private:
  [[nodiscard]] std::optional<std::int64_t> sensor(const char* name) const;

  ReadSensors sensors_;
  ReadUsed used_;
  std::optional<std::int64_t> sensed_before_;  ///< by everybody, without this process
  std::optional<std::int64_t> used_before_;    ///< the same, with its context
  std::string source_ = "not available";
};

}  // namespace secondsource::gpu
