#pragma once
// The backend that CUDA, HIP and the shim share: everything above a Device and a KernelTable. A vendor's module opens a
// device, fills in GpuOptions, and calls make_backend().

#include <functional>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend_kit/poison.h"
#include "gpu/host/device_memory.h"
#include "gpu/host/device_rates.h"
#include "gpu/host/kv_pool.h"
#include "gpu/host/library_matmul.h"
#include "gpu/host/weights.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::gpu {

/// Chooses our kernels or the vendor's library for products with more than kMatvecRows rows of types that the library
/// supports.
enum class MatmulBy : std::uint8_t {
  kOwn,      ///< always our kernels
  kEither,   ///< the library from kLibraryRows rows on, if there is one
  kLibrary,  ///< always the library; an error if it cannot
};

struct GpuOptions {
  std::string backend;     ///< "cuda"
  int n_threads = 0;       ///< host threads that pack weights; 0: n_packing_threads()
  bool use_graphs = true;  ///< capture each step once and replay it; else launch kernel by kernel
  bool guards = false;     ///< no place in the workspace is reused, and a write outside of a value fails the step
  bool fuse = true;        ///< products for few rows normalize their x themselves, where they can
  bool dependent_launch = false;          ///< kernels overlap: portable/launch_order.h
  std::optional<MatmulTiles> tiles = {};  ///< for every product by tiles; empty: plan_matmul() chooses
  std::optional<PrefillBy> prefill = {};  ///< empty: by warpgroups if the device has them
  MatmulBy matmul = MatmulBy::kEither;
  std::string matmul_library = {};                     ///< file name; empty: the system's loader finds it
  std::shared_ptr<LibraryMatmul> vendor_library = {};  ///< null: not available
  std::string vendor_library_missing = {};             ///< why it is not available
  std::function<std::vector<TelemetryReading>()> read_telemetry = {};
  RateExtents rates = {};  ///< what measure_rates() reads and computes
};

/// Parses one of BackendOptions::extra: graphs, guards, fuse, dependent_launch, tiles, attention, matmul, matmul_library. Returns false for
/// another key. Errors: kInvalidInput for an invalid value.
Result<bool> read_option(const std::string& key, const std::string& value, GpuOptions& options);

/// Opens the library of products with `open`, which takes options.matmul_library, unless options.matmul is kOwn. Errors:
/// kUnavailable if the options demand the library and it cannot be used.
Result<void> open_library(GpuOptions& options,
                          const std::function<Result<std::shared_ptr<LibraryMatmul>>(const std::string& file)>& open);

/// The library is preferred from this many rows of x on. In smaller buckets most of its work would be padding.
inline constexpr std::int32_t kLibraryRows = 64;

/// `kernels`: the table of the device's target. Errors: kUnavailable for an option that the device does not support;
/// kOutOfMemory, kDeviceLost.
Result<std::unique_ptr<Backend>> make_backend(std::unique_ptr<Device> device, const KernelTable& kernels,
                                              GpuOptions options);

/// The description of a device in `secondsource backends` and in the fingerprint.
[[nodiscard]] DeviceInfo describe(const DeviceProperties& properties, const std::string& backend);

/// State that the steps of one backend share.
struct Shared {
  std::unique_ptr<DeviceMemory> memory;
  const KernelTable& kernels;
  GpuOptions options;
  DeviceBuffer workspace = {};
  std::uint64_t workspace_generation = 0;  ///< incremented when the workspace moves, which invalidates pointers into it
  const Step* workspace_owner = nullptr;   ///< the step whose values are in it; null: none
  DeviceBuffer last_sampled = {};          ///< [n_seq_slots] ids
  std::vector<bool> sampled = {};          ///< [n_seq_slots]: true if last_sampled has an id for the slot
  Poison poison = {};
  std::int64_t next_ticket = 1;

  [[nodiscard]] LaunchContext context() const { return {memory->stream(), memory->device().properties().warp_size}; }
  /// Grows the workspace to at least `bytes`; its content is lost. Errors: kOutOfMemory.
  Result<void> reserve_workspace(std::size_t bytes);
};

}  // namespace secondsource::gpu
