#include "vulkan/vulkan_device.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "vulkan/command_stream.h"

namespace secondsource::vulkan {
namespace {

/// How long is_done() waits for work that is not done: less than any step takes. Meanwhile the thread gives up its CPU, so that a
/// driver that computes on CPUs can use it.
constexpr std::uint64_t kPatienceNs = 20'000;

/// Owns a VkDevice, which everything that was created on it must not outlive.
class LogicalDevice {
 public:
  explicit LogicalDevice(VkDevice handle) : handle_(handle) {}
  ~LogicalDevice() {
    if (handle_ != VK_NULL_HANDLE) vkDestroyDevice(handle_, nullptr);
  }
  LogicalDevice(LogicalDevice&& other) noexcept : handle_(std::exchange(other.handle_, VK_NULL_HANDLE)) {}
  LogicalDevice(const LogicalDevice&) = delete;
  LogicalDevice& operator=(const LogicalDevice&) = delete;
  LogicalDevice& operator=(LogicalDevice&&) = delete;
  [[nodiscard]] VkDevice get() const { return handle_; }

 private:
  VkDevice handle_;
};

class VulkanDevice final : public gpu::Device {
 public:
  VulkanDevice(PhysicalDevice physical, LogicalDevice device)
      : physical_(std::move(physical)),
        device_(std::move(device)),
        buffers_(physical_.handle, device_.get(), physical_.max_allocation_bytes) {}

  Result<void> open() {
    queue_.device = device_.get();
    queue_.family = physical_.queue_family;
    queue_.max_grid_x = physical_.max_grid_x;
    queue_.timestamp_bits = physical_.timestamp_bits;
    queue_.matrices = physical_.matrices;
    queue_.buffers = &buffers_;
    queue_.pipelines = &pipelines_;
    vkGetDeviceQueue(device_.get(), physical_.queue_family, 0, &queue_.handle);
    auto type = make<VkSemaphoreTypeCreateInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO);
    type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
    auto info = make<VkSemaphoreCreateInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO);
    info.pNext = &type;
    SS_TRY(queue_.timeline, created<OwnedSemaphore>(device_.get(), vkCreateSemaphore, info, "vkCreateSemaphore"));
    SS_TRY(pipelines_, Pipelines::create(device_.get()));
    return {};
  }

  [[nodiscard]] const gpu::DeviceProperties& properties() const override { return physical_.properties; }
  Result<void*> allocate(std::size_t bytes) override { return buffers_.allocate(bytes, MemoryKind::kDevice); }
  void free(void* memory) override { free_when_idle(memory); }
  Result<void*> allocate_pinned(std::size_t bytes) override { return buffers_.allocate(bytes, MemoryKind::kPinned); }
  void free_pinned(void* memory) override { free_when_idle(memory); }

  Result<std::unique_ptr<gpu::Stream>> create_stream() override {
    auto stream = std::make_unique<CommandStream>(queue_);
    stream_ = stream.get();
    return std::unique_ptr<gpu::Stream>(std::move(stream));
  }
  Result<std::unique_ptr<gpu::Event>> create_event() override { return QueryEvent::create(queue_); }

  Result<bool> is_done(gpu::Event& event) override {
    const std::uint64_t submission = static_cast<QueryEvent&>(event).submission;
    if (submission > queue_.n_submitted) SS_TRY_VOID(stream_->flush());
    return queue_.wait(submission, kPatienceNs);
  }
  Result<std::int64_t> elapsed_ns(gpu::Event& from, gpu::Event& to) override {
    SS_TRY(const std::uint64_t begin, static_cast<QueryEvent&>(from).ticks(queue_));
    SS_TRY(const std::uint64_t end, static_cast<QueryEvent&>(to).ticks(queue_));
    const std::uint64_t mask =
        queue_.timestamp_bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << queue_.timestamp_bits) - 1;
    return static_cast<std::int64_t>(static_cast<double>((end - begin) & mask) * physical_.ns_per_tick);
  }

  [[nodiscard]] std::optional<std::int64_t> process_bytes() const override {
    if (!physical_.has_memory_budget) return std::nullopt;
    auto budget =
        make<VkPhysicalDeviceMemoryBudgetPropertiesEXT>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT);
    auto memory = make<VkPhysicalDeviceMemoryProperties2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2);
    memory.pNext = &budget;
    vkGetPhysicalDeviceMemoryProperties2(physical_.handle, &memory);
    VkDeviceSize used = 0;
    for (std::uint32_t i = 0; i < memory.memoryProperties.memoryHeapCount; ++i) {
      if ((memory.memoryProperties.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0)
        used += budget.heapUsage[i];
    }
    return static_cast<std::int64_t>(used);
  }

 private:
  /// Work that was enqueued may still use the memory. Its failure is reported by the next call that waits for it.
  void free_when_idle(void* memory) {
    if (stream_ != nullptr) (void)stream_->synchronize();
    buffers_.free(memory);
  }

  PhysicalDevice physical_;
  LogicalDevice device_;  // before everything that is created on it
  DeviceBuffers buffers_;
  Pipelines pipelines_;
  Queue queue_;
  CommandStream* stream_ = nullptr;  ///< the one stream, which the owner of this device destroys before it
};

}  // namespace

Result<std::unique_ptr<gpu::Device>> open_device(const PhysicalDevice& physical) {
  constexpr float kPriority = 1.0F;
  auto queue = make<VkDeviceQueueCreateInfo>(VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO);
  queue.queueFamilyIndex = physical.queue_family;
  queue.queueCount = 1;
  queue.pQueuePriorities = &kPriority;
  auto of_12 = make<VkPhysicalDeviceVulkan12Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES);
  of_12.storageBuffer8BitAccess = VK_TRUE;
  of_12.shaderInt8 = VK_TRUE;
  of_12.bufferDeviceAddress = VK_TRUE;
  of_12.scalarBlockLayout = VK_TRUE;
  of_12.timelineSemaphore = VK_TRUE;
  auto of_11 = make<VkPhysicalDeviceVulkan11Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES);
  of_11.pNext = &of_12;
  of_11.storageBuffer16BitAccess = VK_TRUE;
  auto features = make<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2);
  features.pNext = &of_11;
  features.features.shaderInt64 = VK_TRUE;
  features.features.shaderInt16 = VK_TRUE;
  auto info = make<VkDeviceCreateInfo>(VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO);
  info.pNext = &features;
  MatrixFeatures matrix_features;
  const char* const matrix_name = matrix_extension();
  if (physical.matrices.exist()) {
    of_12.shaderFloat16 = VK_TRUE;
    of_12.vulkanMemoryModel = VK_TRUE;
    of_12.pNext = matrix_features.next();
    info.enabledExtensionCount = 1;
    info.ppEnabledExtensionNames = &matrix_name;
  }
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  VkDevice handle = VK_NULL_HANDLE;
  SS_TRY_VOID(check(vkCreateDevice(physical.handle, &info, nullptr, &handle), "vkCreateDevice"));
  auto device = std::make_unique<VulkanDevice>(physical, LogicalDevice(handle));
  SS_TRY_VOID(device->open());
  return std::unique_ptr<gpu::Device>(std::move(device));
}

}  // namespace secondsource::vulkan
