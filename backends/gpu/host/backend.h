#pragma once
// The backend that CUDA, HIP and the shim share: everything above a Device and a KernelTable. A vendor's module opens a
// device, fills in what it knows about it, and calls make_backend().

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend_kit/poison.h"
#include "gpu/host/device_memory.h"
#include "gpu/host/kv_pool.h"
#include "gpu/host/library_matmul.h"
#include "gpu/host/read_rate.h"
#include "gpu/host/weights.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

/// Who makes products with more than kMatvecRows rows, of the types that a vendor's library has.
enum class MatmulBy : std::uint8_t {
  kOwn,
  kEither,   ///< the library, where there is one, from kLibraryRows rows on
  kLibrary,  ///< the library, and nobody else
};

struct GpuOptions {
  std::string backend;     ///< "cuda"
  bool use_graphs = true;  ///< capture each step once and replay it; else launch kernel by kernel
  bool guards = false;     ///< nothing in the workspace is reused, and writes outside of values fail the step
  std::optional<MatmulTiles> tiles = {};  ///< of every product by tiles, in place of plan_matmul()'s choice
  std::optional<PrefillBy> prefill = {};  ///< of attention; without: by warpgroups where the device has them
  MatmulBy matmul = MatmulBy::kEither;
  std::string matmul_library = {};                     ///< the file; empty: where the system finds it
  std::shared_ptr<LibraryMatmul> vendor_library = {};  ///< of `matmul`; null: there is none
  std::string vendor_library_missing = {};             ///< why there is none
  std::function<std::vector<TelemetryReading>()> read_telemetry = {};
  std::array<std::size_t, 3> read_rate_bytes = kReadRateBytes;  ///< of the buffers that a read rate is measured with
};

/// Takes one of BackendOptions::extra: graphs, guards, tiles, attention, matmul, matmul_library. False: it is none of
/// them. Errors: kInvalidInput for a value that it cannot have.
Result<bool> read_option(const std::string& key, const std::string& value, GpuOptions& options);

/// Opens the library that `options` ask for with `open`, which takes options.matmul_library. Errors: kUnavailable when
/// it was asked for by name and cannot be used.
Result<void> open_library(GpuOptions& options,
                          const std::function<Result<std::shared_ptr<LibraryMatmul>>(const std::string& file)>& open);

/// From so many rows of x on the library is preferred: below, its sums are mostly of rows that are not there.
inline constexpr std::int32_t kLibraryRows = 64;

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
  Poison poison = {};
  std::int64_t next_ticket = 1;

  [[nodiscard]] LaunchContext context() const { return {memory->stream(), memory->device().properties().warp_size}; }
  /// Makes the workspace at least this large. Errors: kOutOfMemory.
  Result<void> reserve_workspace(std::size_t bytes);
};

}  // namespace secondsource::gpu
