#pragma once
// A GPU as the host part of the backend sees it: memory, one stream of work, events, graphs. CUDA, HIP, Vulkan and the shim
// implement it; no code above it includes a vendor's header. Handles belong to the Device that created them and must not
// outlive it.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "gpu/tensor_map.h"

namespace secondsource::gpu {

struct Dim3 {
  std::uint32_t x = 1;
  std::uint32_t y = 1;
  std::uint32_t z = 1;
};

/// Grid, block and shared memory of a launch.
struct LaunchShape {
  Dim3 grid;                     ///< blocks
  std::uint32_t threads = 0;     ///< threads per block, a multiple of the warp size
  std::size_t shared_bytes = 0;  ///< dynamic shared memory per block
  /// Neighbouring blocks along x that run together as a cluster (portable/cluster.h); grid.x is a multiple of it. More than one only on
  /// devices with has_warpgroups.
  std::uint32_t cluster_blocks = 1;
};

/// One kernel launch as data, so that the shim's graphs can store it. Every kernel takes one plain struct by value.
struct KernelCall {
  const char* name = "";           ///< static text, "rms_norm"
  const void* function = nullptr;  ///< the kernel's host symbol
  /// Calls `function` with the argument on the calling thread. Used by the shim only.
  void (*invoke)(const void* function, const void* argument) = nullptr;
  LaunchShape shape;
  const void* argument = nullptr;  ///< borrowed until launch() returns
  std::size_t argument_bytes = 0;
};

/// Work that a vendor's library enqueues itself, as data, so that the shim's graphs can store it.
struct LibraryCall {
  const char* name = "";  ///< static text, "cublasLtMatmul"
  /// `stream`: the native handle, such as cudaStream_t; null in the shim, where the library computes at once.
  std::function<Result<void>(void* stream)> enqueue;
  std::vector<const void*> addresses;                  ///< device memory that it reads or writes
  std::vector<std::span<const std::byte>> reads = {};  ///< ranges of which it reads every byte
};

struct DeviceProperties {
  std::string id;                           ///< the value of --device
  std::string name;                         ///< "NVIDIA H100 80GB HBM3"
  std::string target;                       ///< "sm_90", "gfx942"
  int warp_size = 32;                       ///< lanes of a warp, or of a wave
  int n_processors = 1;                     ///< multiprocessors, or compute units
  std::size_t max_shared_bytes = 48 << 10;  ///< shared memory of one block
  bool has_warpgroups = false;              ///< has `wgmma`, the products of four warps: sm_90a
  bool has_dependent_launch = false;        ///< see Stream::overlap_kernels(): sm_90 and newer
  bool has_matrix_units = true;             ///< tensor cores or matrix cores that the kernels use
  /// Tiles multiply FP16, not BF16. So that no number leaves FP16's range, rows of x come with a power of two (NarrowTo::kF16), and so do
  /// rows of weights whose encoding has no scale of rows (WeightView::row_scales).
  bool has_f16_tiles = false;
  std::int64_t memory_bytes = 0;
  std::vector<std::pair<std::string, std::string>> fingerprint = {};  ///< driver, toolkit, clocks, ECC, partition mode
};

/// A point in a stream.
class Event {
 public:
  virtual ~Event() = default;
};

/// Captured work that can be replayed: kernels and library calls with the arguments of their capture.
class Graph {
 public:
  virtual ~Graph() = default;
};

/// An in-order queue of work. Every call except synchronize() may return before the device has executed it.
class Stream {
 public:
  virtual ~Stream() = default;
  /// Lets the blocks of each later kernel begin while the kernel before it still runs. They wait for its end themselves
  /// (portable/launch_order.h). For devices with has_dependent_launch alone; launch() then refuses kernels whose code does not wait, since
  /// it was compiled for an older device.
  virtual void overlap_kernels() {}
  virtual Result<void> launch(const KernelCall& call) = 0;
  virtual Result<void> call(const LibraryCall& call) = 0;
  /// Between device memory and pinned host memory, in any direction.
  virtual Result<void> copy(void* to, const void* from, std::size_t bytes) = 0;
  /// Sets every byte of a range of device memory.
  virtual Result<void> fill(void* to, std::uint8_t byte, std::size_t bytes) = 0;
  virtual Result<void> record(Event& event) = 0;
  /// Records the following calls for end_capture() instead of executing them. Kernels and library calls only.
  virtual Result<void> begin_capture() = 0;
  virtual Result<std::unique_ptr<Graph>> end_capture() = 0;
  virtual Result<void> replay(Graph& graph) = 0;
  /// Submits enqueued work to the device where calls only collect it, as in Vulkan's command buffers. Waiting for work submits it, too.
  virtual Result<void> flush() { return {}; }
  /// Blocks until all work is done. Errors: kDeviceLost with the first failure since the last call.
  virtual Result<void> synchronize() = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  [[nodiscard]] virtual const DeviceProperties& properties() const = 0;
  /// Makes this the runtime's current device for the calling thread, where the runtime has one for each thread. Calls to a vendor's library
  /// then use it. The functions of this class and of Stream make it current themselves.
  virtual Result<void> make_current() { return {}; }
  /// Aligned to 256 bytes, content undefined. Errors: kOutOfMemory.
  virtual Result<void*> allocate(std::size_t bytes) = 0;
  virtual void free(void* memory) = 0;
  /// Pinned host memory, for copies that do not block the host.
  virtual Result<void*> allocate_pinned(std::size_t bytes) = 0;
  virtual void free_pinned(void* memory) = 0;
  /// The map with which kernels copy tiles of this matrix. Only on devices with has_warpgroups. Errors: kUnavailable where the device
  /// or its driver has none, kInternal for a matrix that it does not allow.
  [[nodiscard]] virtual Result<TensorMap> tensor_map(const TiledMatrix&) {
    return Error{ErrorCode::kUnavailable, "this device copies no tiles of matrices by itself"};
  }
  virtual Result<std::unique_ptr<Stream>> create_stream() = 0;
  virtual Result<std::unique_ptr<Event>> create_event() = 0;
  /// True once the device has passed the event's last record(). Errors: kDeviceLost if the work before it failed.
  virtual Result<bool> is_done(Event& event) = 0;
  /// Time between two events that are done, by the device's clock.
  virtual Result<std::int64_t> elapsed_ns(Event& from, Event& to) = 0;
  /// Device memory that this process holds now, including its allocations; empty if it cannot be determined.
  [[nodiscard]] virtual std::optional<std::int64_t> process_bytes() const { return std::nullopt; }
};

}  // namespace secondsource::gpu
