#pragma once
// The stream of a Vulkan device: calls are recorded into command buffers, which are submitted by flush() or when the host waits for one.
// Commands run one after the other, with a barrier of all memory between them.

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "gpu/device.h"
#include "vulkan/cooperative_matrices.h"
#include "vulkan/device_buffers.h"
#include "vulkan/pipelines.h"

namespace secondsource::vulkan {

/// What the device, its stream and its events share.
struct Queue {
  VkDevice device = VK_NULL_HANDLE;
  VkQueue handle = VK_NULL_HANDLE;
  std::uint32_t family = 0;
  std::uint32_t max_grid_x = 0;
  std::uint32_t timestamp_bits = 64;
  OwnedSemaphore timeline;  ///< counts the submissions that are done
  std::uint64_t n_submitted = 0;
  CooperativeMatrices matrices;
  DeviceBuffers* buffers = nullptr;
  Pipelines* pipelines = nullptr;

  /// The number of submissions that are done. Errors: kDeviceLost.
  [[nodiscard]] Result<std::uint64_t> n_done() const;
  /// Waits until `n` submissions are done. False if the timeout passes before. Errors: kDeviceLost.
  [[nodiscard]] Result<bool> wait(std::uint64_t n, std::uint64_t timeout_ns) const;
};

/// Memory for the parameters of launches, which grows by chunks.
class ParameterMemory {
 public:
  explicit ParameterMemory(const DeviceBuffers& buffers) : buffers_(buffers) {}
  /// Stores the bytes and returns their address for kernels. Errors: kOutOfMemory.
  Result<VkDeviceAddress> store(const void* bytes, std::size_t n_bytes);
  /// Frees all of it for new parameters.
  void reset() { chunk_ = used_ = 0; }

 private:
  const DeviceBuffers& buffers_;
  std::deque<DeviceBuffer> chunks_;
  std::size_t chunk_ = 0;  ///< the chunk that is being filled
  std::size_t used_ = 0;   ///< bytes of it
};

/// A command buffer with a pool of its own, and the parameters of its launches.
struct Commands {
  OwnedCommandPool pool;  // its destruction frees the command buffer
  VkCommandBuffer buffer = VK_NULL_HANDLE;
  ParameterMemory parameters;

  static Result<std::shared_ptr<Commands>> create(const Queue& queue, VkCommandBufferLevel level);
  explicit Commands(const DeviceBuffers& buffers) : parameters(buffers) {}
};

class QueryEvent final : public gpu::Event {
 public:
  static Result<std::unique_ptr<gpu::Event>> create(const Queue& queue);
  OwnedQueryPool query;
  std::uint64_t submission = 0;  ///< the submission of its last record(), counted from 1; 0: none yet
  /// The device's time in ticks. The event must be done.
  [[nodiscard]] Result<std::uint64_t> ticks(const Queue& queue) const;
};

class CommandStream final : public gpu::Stream {
 public:
  /// `queue` must outlive the stream.
  explicit CommandStream(Queue& queue) : queue_(queue) {}
  ~CommandStream() override;
  CommandStream(const CommandStream&) = delete;
  CommandStream& operator=(const CommandStream&) = delete;

  Result<void> launch(const gpu::KernelCall& call) override;
  Result<void> call(const gpu::LibraryCall& call) override;
  Result<void> copy(void* to, const void* from, std::size_t bytes) override;
  Result<void> fill(void* to, std::uint8_t byte, std::size_t bytes) override;
  Result<void> record(gpu::Event& event) override;
  Result<void> begin_capture() override;
  Result<std::unique_ptr<gpu::Graph>> end_capture() override;
  Result<void> replay(gpu::Graph& graph) override;
  Result<void> synchronize() override;
  Result<void> flush() override;
  [[nodiscard]] const CooperativeMatrices& matrices() const { return queue_.matrices; }

 private:
  /// A command buffer that was submitted, and the graphs that it runs. They are kept until it is done.
  struct Submitted {
    std::shared_ptr<Commands> commands;
    std::vector<std::shared_ptr<Commands>> graphs;
    std::uint64_t number = 0;
  };
  /// The command buffer that is being recorded; begins one if there is none.
  Result<Commands*> open();

  Queue& queue_;
  std::shared_ptr<Commands> open_;
  std::vector<std::shared_ptr<Commands>> open_graphs_;
  std::shared_ptr<Commands> captured_;  ///< during a capture
  std::deque<Submitted> submitted_;
};

}  // namespace secondsource::vulkan
