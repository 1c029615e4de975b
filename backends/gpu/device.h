#pragma once
// A GPU as the host part of the backend sees it: memory, one stream of work, events, graphs. CUDA, HIP and the shim on
// the CPU implement it; nothing above it includes a vendor's header. Handles belong to the Device that made them and
// may not outlive it.

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

namespace secondsource::gpu {

struct Dim3 {
  std::uint32_t x = 1;
  std::uint32_t y = 1;
  std::uint32_t z = 1;
};

/// How many threads run a kernel, and what they share.
struct LaunchShape {
  Dim3 grid;                     ///< blocks
  std::uint32_t threads = 0;     ///< of a block, a multiple of the warp
  std::size_t shared_bytes = 0;  ///< of a block
};

/// One kernel launch as data, so that a graph can keep it. Every kernel takes one argument, a plain struct by value.
struct KernelCall {
  const char* name = "";           ///< static text, "rms_norm"
  const void* function = nullptr;  ///< the kernel's host symbol
  /// Calls `function` with the argument on the calling thread: for the shim alone.
  void (*invoke)(const void* function, const void* argument) = nullptr;
  LaunchShape shape;
  const void* argument = nullptr;  ///< borrowed until launch() returns
  std::size_t argument_bytes = 0;
};

/// Work that a vendor's library puts into a stream by itself, as data, so that a graph of the shim can keep it.
struct LibraryCall {
  const char* name = "";  ///< static text, "cublasLtMatmul"
  /// Gets the stream as the library takes it: a cudaStream_t. Null in the shim, where the library computes at once.
  std::function<Result<void>(void* stream)> enqueue;
  std::vector<const void*> addresses;                  ///< in device memory, that it reads and writes
  std::vector<std::span<const std::byte>> reads = {};  ///< every byte of each
};

struct DeviceProperties {
  std::string id;                           ///< what --device takes
  std::string name;                         ///< "NVIDIA H100 80GB HBM3"
  std::string target;                       ///< "sm_90", "gfx942"
  int warp_size = 32;                       ///< lanes of a warp, or of a wave
  int n_processors = 1;                     ///< multiprocessors, or compute units
  std::size_t max_shared_bytes = 48 << 10;  ///< of one block
  bool has_warpgroups = false;              ///< products of four warps, `wgmma`: sm_90a
  std::int64_t memory_bytes = 0;
  std::vector<std::pair<std::string, std::string>> fingerprint = {};  ///< driver, toolkit, clocks, ECC, partition mode
};

/// A point in a stream.
class Event {
 public:
  virtual ~Event() = default;
};

/// Work that was captured once and can be replayed: kernels and library calls with their arguments as they were.
class Graph {
 public:
  virtual ~Graph() = default;
};

/// Work in order. Every call but synchronize() returns before the device is done with it.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual Result<void> launch(const KernelCall& call) = 0;
  virtual Result<void> call(const LibraryCall& call) = 0;
  /// Between device memory and pinned host memory, in any direction.
  virtual Result<void> copy(void* to, const void* from, std::size_t bytes) = 0;
  /// Every byte of device memory.
  virtual Result<void> fill(void* to, std::uint8_t byte, std::size_t bytes) = 0;
  virtual Result<void> record(Event& event) = 0;
  /// What follows is kept for end_capture() and does not run. Kernels and library calls only.
  virtual Result<void> begin_capture() = 0;
  virtual Result<std::unique_ptr<Graph>> end_capture() = 0;
  virtual Result<void> replay(Graph& graph) = 0;
  /// Blocks until all work is done. Errors: kDeviceLost with what went wrong since the last call.
  virtual Result<void> synchronize() = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  [[nodiscard]] virtual const DeviceProperties& properties() const = 0;
  /// Aligned to 256 bytes, content undefined. Errors: kOutOfMemory.
  virtual Result<void*> allocate(std::size_t bytes) = 0;
  virtual void free(void* memory) = 0;
  /// Host memory that the device can copy from and to while the host goes on.
  virtual Result<void*> allocate_pinned(std::size_t bytes) = 0;
  virtual void free_pinned(void* memory) = 0;
  virtual Result<std::unique_ptr<Stream>> create_stream() = 0;
  virtual Result<std::unique_ptr<Event>> create_event() = 0;
  /// Did the device pass the event's last record()? Errors: kDeviceLost when the work before it failed.
  virtual Result<bool> is_done(Event& event) = 0;
  /// From one event to another, both done, on the device's clock.
  virtual Result<std::int64_t> elapsed_ns(Event& from, Event& to) = 0;
  /// Memory of the device that this process holds now, what it allocated included; empty where it cannot be known.
  [[nodiscard]] virtual std::optional<std::int64_t> process_bytes() const { return std::nullopt; }
};

}  // namespace secondsource::gpu
