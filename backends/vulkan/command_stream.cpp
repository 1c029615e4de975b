#include "vulkan/command_stream.h"

#include <fmt/format.h>

#include <cstring>
#include <limits>

#include "core/checked.h"

namespace secondsource::vulkan {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{64} << 10;
constexpr std::size_t kParameterAlignment = 16;
constexpr std::uint32_t kMaxGridYz = 65535;  // what every driver allows
constexpr VkPipelineStageFlags kWork = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;

class CommandGraph final : public gpu::Graph {
 public:
  explicit CommandGraph(std::shared_ptr<Commands> recorded) : commands(std::move(recorded)) {}
  std::shared_ptr<Commands> commands;
};

/// Makes earlier writes visible to the commands that are recorded next.
void add_barrier(VkCommandBuffer commands, VkPipelineStageFlags after, VkAccessFlags access) {
  auto barrier = make<VkMemoryBarrier>(VK_STRUCTURE_TYPE_MEMORY_BARRIER);
  barrier.srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT;
  barrier.dstAccessMask = access;
  vkCmdPipelineBarrier(commands, kWork, after, 0, 1, &barrier, 0, nullptr, 0, nullptr);
}

void begin_work(VkCommandBuffer commands) {
  add_barrier(commands, kWork, VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT);
}

Result<void> begin_commands(const Commands& commands, bool is_graph) {
  auto inheritance = make<VkCommandBufferInheritanceInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_INHERITANCE_INFO);
  auto info = make<VkCommandBufferBeginInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO);
  // A graph may be replayed while an earlier replay of it still runs.
  info.flags = is_graph ? VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT : VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  info.pInheritanceInfo = &inheritance;
  return check(vkBeginCommandBuffer(commands.buffer, &info), "vkBeginCommandBuffer");
}

}  // namespace

Result<std::uint64_t> Queue::n_done() const {
  std::uint64_t n = 0;
  SS_TRY_VOID(check(vkGetSemaphoreCounterValue(device, timeline.get(), &n), "vkGetSemaphoreCounterValue"));
  return n;
}

Result<bool> Queue::wait(std::uint64_t n, std::uint64_t timeout_ns) const {
  VkSemaphore semaphore = timeline.get();
  auto info = make<VkSemaphoreWaitInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO);
  info.semaphoreCount = 1;
  info.pSemaphores = &semaphore;
  info.pValues = &n;
  const VkResult result = vkWaitSemaphores(device, &info, timeout_ns);
  if (result == VK_TIMEOUT) return false;
  SS_TRY_VOID(check(result, "vkWaitSemaphores"));
  return true;
}

Result<VkDeviceAddress> ParameterMemory::store(const void* bytes, std::size_t n_bytes) {
  if (n_bytes > kChunkBytes) return Error{ErrorCode::kInternal, "the parameters of a kernel are too large"};
  if (used_ + n_bytes > kChunkBytes) {
    ++chunk_;
    used_ = 0;
  }
  if (chunk_ == chunks_.size()) {
    SS_TRY(DeviceBuffer made, buffers_.create(kChunkBytes, MemoryKind::kParameters));
    chunks_.push_back(std::move(made));
  }
  const DeviceBuffer& chunk = chunks_[chunk_];
  std::memcpy(chunk.mapped + used_, bytes, n_bytes);
  const VkDeviceAddress address = chunk.device_address + used_;
  used_ = round_up(used_ + n_bytes, kParameterAlignment);
  return address;
}

Result<std::shared_ptr<Commands>> Commands::create(const Queue& queue, VkCommandBufferLevel level) {
  auto commands = std::make_shared<Commands>(*queue.buffers);
  auto pool_info = make<VkCommandPoolCreateInfo>(VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
  pool_info.queueFamilyIndex = queue.family;
  SS_TRY(commands->pool,
         created<OwnedCommandPool>(queue.device, vkCreateCommandPool, pool_info, "vkCreateCommandPool"));
  auto info = make<VkCommandBufferAllocateInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
  info.commandPool = commands->pool.get();
  info.level = level;
  info.commandBufferCount = 1;
  SS_TRY_VOID(check(vkAllocateCommandBuffers(queue.device, &info, &commands->buffer), "vkAllocateCommandBuffers"));
  return commands;
}

Result<std::unique_ptr<gpu::Event>> QueryEvent::create(const Queue& queue) {
  auto event = std::make_unique<QueryEvent>();
  auto info = make<VkQueryPoolCreateInfo>(VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO);
  info.queryType = VK_QUERY_TYPE_TIMESTAMP;
  info.queryCount = 1;
  SS_TRY(event->query, created<OwnedQueryPool>(queue.device, vkCreateQueryPool, info, "vkCreateQueryPool"));
  return std::unique_ptr<gpu::Event>(std::move(event));
}

Result<std::uint64_t> QueryEvent::ticks(const Queue& queue) const {
  std::uint64_t ticks = 0;
  SS_TRY_VOID(check(vkGetQueryPoolResults(queue.device, query.get(), 0, 1, sizeof(ticks), &ticks, sizeof(ticks),
                                          VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
                    "vkGetQueryPoolResults"));
  return ticks;
}

CommandStream::~CommandStream() {
  (void)synchronize();
}

Result<Commands*> CommandStream::open() {
  if (open_) return open_.get();
  SS_TRY(const std::uint64_t n_done, queue_.n_done());
  while (!submitted_.empty() && submitted_.front().number <= n_done) {
    if (!open_) open_ = std::move(submitted_.front().commands);
    submitted_.pop_front();
  }
  if (open_) {
    open_->parameters.reset();
    SS_TRY_VOID(check(vkResetCommandPool(queue_.device, open_->pool.get(), 0), "vkResetCommandPool"));
  } else {
    SS_TRY(open_, Commands::create(queue_, VK_COMMAND_BUFFER_LEVEL_PRIMARY));
  }
  SS_TRY_VOID(begin_commands(*open_, false));
  return open_.get();
}

Result<void> CommandStream::launch(const gpu::KernelCall& call) {
  const gpu::Dim3 grid = call.shape.grid;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return {};
  if (grid.x > queue_.max_grid_x || grid.y > kMaxGridYz || grid.z > kMaxGridYz) {
    return Error{ErrorCode::kUnsupported, fmt::format("kernel {}: a grid of {} x {} x {} workgroups is more than the "
                                                      "Vulkan driver allows",
                                                      call.name, grid.x, grid.y, grid.z)};
  }
  Commands* commands = captured_.get();
  if (commands == nullptr) {
    SS_TRY(commands, open());
  }
  SS_TRY(VkPipeline pipeline, queue_.pipelines->find(*static_cast<const Kernel*>(call.function), call.name));
  SS_TRY(const VkDeviceAddress parameters, commands->parameters.store(call.argument, call.argument_bytes));
  begin_work(commands->buffer);
  vkCmdBindPipeline(commands->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
  vkCmdPushConstants(commands->buffer, queue_.pipelines->layout(), VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(parameters),
                     &parameters);
  vkCmdDispatch(commands->buffer, grid.x, grid.y, grid.z);
  return {};
}

Result<void> CommandStream::call(const gpu::LibraryCall& call) {
  return Error{ErrorCode::kUnsupported, fmt::format("{}: there are no libraries of a vendor for Vulkan", call.name)};
}

Result<void> CommandStream::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return {};
  SS_TRY(const DeviceBuffers::Place target, queue_.buffers->find(to, bytes));
  SS_TRY(const DeviceBuffers::Place source, queue_.buffers->find(from, bytes));
  SS_TRY(const Commands* const commands, open());
  begin_work(commands->buffer);
  const VkBufferCopy region{.srcOffset = source.offset, .dstOffset = target.offset, .size = bytes};
  vkCmdCopyBuffer(commands->buffer, source.buffer, target.buffer, 1, &region);
  return {};
}

Result<void> CommandStream::fill(void* to, std::uint8_t byte, std::size_t bytes) {
  if (bytes == 0) return {};
  SS_TRY(const DeviceBuffers::Place target, queue_.buffers->find(to, bytes));
  if (bytes % 4 != 0 || target.offset % 4 != 0) {
    return Error{ErrorCode::kInternal,
                 fmt::format("fill: expected whole words, found {} bytes at {}", bytes, target.offset)};
  }
  SS_TRY(const Commands* const commands, open());
  begin_work(commands->buffer);
  vkCmdFillBuffer(commands->buffer, target.buffer, target.offset, bytes, byte * 0x01010101U);
  return {};
}

Result<void> CommandStream::record(gpu::Event& event) {
  auto& own = static_cast<QueryEvent&>(event);
  SS_TRY(const Commands* const commands, open());
  vkCmdResetQueryPool(commands->buffer, own.query.get(), 0, 1);
  vkCmdWriteTimestamp(commands->buffer, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, own.query.get(), 0);
  own.submission = queue_.n_submitted + 1;
  return {};
}

Result<void> CommandStream::begin_capture() {
  if (captured_) return Error{ErrorCode::kInternal, "a capture within a capture"};
  SS_TRY(captured_, Commands::create(queue_, VK_COMMAND_BUFFER_LEVEL_SECONDARY));
  return begin_commands(*captured_, true);
}

Result<std::unique_ptr<gpu::Graph>> CommandStream::end_capture() {
  if (!captured_) return Error{ErrorCode::kInternal, "no capture to end"};
  const std::shared_ptr<Commands> recorded = std::move(captured_);
  captured_ = nullptr;
  SS_TRY_VOID(check(vkEndCommandBuffer(recorded->buffer), "vkEndCommandBuffer"));
  return std::unique_ptr<gpu::Graph>(std::make_unique<CommandGraph>(recorded));
}

Result<void> CommandStream::replay(gpu::Graph& graph) {
  const auto& own = static_cast<CommandGraph&>(graph);
  SS_TRY(const Commands* const commands, open());
  open_graphs_.push_back(own.commands);
  begin_work(commands->buffer);
  vkCmdExecuteCommands(commands->buffer, 1, &own.commands->buffer);
  return {};
}

Result<void> CommandStream::flush() {
  if (!open_) return {};
  Submitted submitted{.commands = std::move(open_), .graphs = std::move(open_graphs_), .number = 0};
  open_ = nullptr;
  open_graphs_.clear();
  VkCommandBuffer buffer = submitted.commands->buffer;
  add_barrier(buffer, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);  // of results in pinned memory
  SS_TRY_VOID(check(vkEndCommandBuffer(buffer), "vkEndCommandBuffer"));
  submitted.number = queue_.n_submitted + 1;
  VkSemaphore timeline = queue_.timeline.get();
  auto values = make<VkTimelineSemaphoreSubmitInfo>(VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO);
  values.signalSemaphoreValueCount = 1;
  values.pSignalSemaphoreValues = &submitted.number;
  auto info = make<VkSubmitInfo>(VK_STRUCTURE_TYPE_SUBMIT_INFO);
  info.pNext = &values;
  info.commandBufferCount = 1;
  info.pCommandBuffers = &buffer;
  info.signalSemaphoreCount = 1;
  info.pSignalSemaphores = &timeline;
  SS_TRY_VOID(check(vkQueueSubmit(queue_.handle, 1, &info, VK_NULL_HANDLE), "vkQueueSubmit"));
  queue_.n_submitted = submitted.number;
  submitted_.push_back(std::move(submitted));
  return {};
}

Result<void> CommandStream::synchronize() {
  SS_TRY_VOID(flush());
  SS_TRY(const bool is_done, queue_.wait(queue_.n_submitted, std::numeric_limits<std::uint64_t>::max()));
  if (is_done) return {};
  return Error{ErrorCode::kDeviceLost, "vkWaitSemaphores: the time is over"};
}

}  // namespace secondsource::vulkan
