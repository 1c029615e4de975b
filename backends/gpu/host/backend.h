#pragma once
// The backend that CUDA, HIP and the shim share: everything above a Device and a KernelTable. A vendor's module opens a
// device, fills in what it knows about it, and calls make_backend().

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "backend/backend.h"
#include "gpu/host/device_memory.h"
#include "gpu/host/kv_pool.h"
#include "gpu/host/weights.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

struct GpuOptions {
  std::string backend;     ///< "cuda"
  bool use_graphs = true;  ///< capture each step once and replay it; else launch kernel by kernel
  bool guards = false;     ///< nothing in the workspace is reused, and writes outside of values fail the step
  std::function<std::vector<TelemetryReading>()> read_telemetry = {};
};

/// `kernels` are those of the device's target.
Result<std::unique_ptr<Backend>> make_backend(std::unique_ptr<Device> device, const KernelTable& kernels,
                                              GpuOptions options);

/// What `secondsource backends` and the fingerprint say about a device.
[[nodiscard]] DeviceInfo describe(const DeviceProperties& properties, const std::string& backend);

/// What the steps of one backend share.
struct Shared {
  std::unique_ptr<DeviceMemory> memory;
  const KernelTable& kernels;
  GpuOptions options;
  DeviceBuffer workspace = {};
  std::uint64_t workspace_generation = 0;  ///< counts its moves: pointers into it from before are stale
  const Step* workspace_owner = nullptr;   ///< whose values are in it
  DeviceBuffer last_sampled = {};          ///< [n_seq_slots] ids
  std::vector<bool> sampled = {};          ///< [n_seq_slots]: is there one?
  std::optional<Error> poisoned = {};
  std::int64_t next_ticket = 1;

  [[nodiscard]] LaunchContext context() const { return {memory->stream(), memory->device().properties().warp_size}; }
  [[nodiscard]] Result<void> healthy() const;
  /// Poisons, and returns `error` for the caller to return.
  Error fail(Error error);
  /// Makes the workspace at least this large. Errors: kOutOfMemory.
  Result<void> reserve_workspace(std::size_t bytes);
};

}  // namespace secondsource::gpu
