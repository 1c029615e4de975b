#include "gpu/runtime/runtime_device.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "gpu/runtime/api.h"
#if defined(SS_GPU_RUNTIME_CUDA)
#include "gpu/runtime/tensor_map.h"
#endif

namespace secondsource::gpu::runtime {
namespace {

/// Makes a device the current one of the calling thread, to which the runtime's calls refer: every thread begins with device 0, and
/// another backend of this process may have chosen its own. The call costs little where nothing changes.
Result<void> make_current(int ordinal) {
  SS_RUNTIME_TRY(SetDevice(ordinal));
  return {};
}

class RuntimeEvent final : public Event {
 public:
  static Result<std::unique_ptr<Event>> create(int ordinal) {
    SS_TRY_VOID(make_current(ordinal));
    auto event = std::make_unique<RuntimeEvent>(ordinal);
    SS_RUNTIME_TRY(EventCreate(&event->handle));
    return std::unique_ptr<Event>(std::move(event));
  }
  explicit RuntimeEvent(int ordinal) : ordinal_(ordinal) {}
  ~RuntimeEvent() override {
    (void)make_current(ordinal_);
    if (handle != nullptr) (void)SS_RUNTIME(EventDestroy)(handle);
  }
  SS_RUNTIME(Event_t) handle = nullptr;

 private:
  int ordinal_;
};

class RuntimeGraph final : public Graph {
 public:
  explicit RuntimeGraph(int ordinal) : ordinal_(ordinal) {}
  ~RuntimeGraph() override {
    (void)make_current(ordinal_);
    if (executable != nullptr) (void)SS_RUNTIME(GraphExecDestroy)(executable);
  }
  SS_RUNTIME(GraphExec_t) executable = nullptr;

 private:
  int ordinal_;
};

#if defined(SS_GPU_RUNTIME_CUDA)
/// The oldest virtual architecture in whose code kernels wait for earlier ones (portable/launch_order.h).
constexpr int kFirstPtxThatWaits = 90;
#endif

class RuntimeStream final : public Stream {
 public:
  explicit RuntimeStream(int ordinal) : ordinal_(ordinal) {}
  static Result<std::unique_ptr<Stream>> create(int ordinal) {
    SS_TRY_VOID(make_current(ordinal));
    auto stream = std::make_unique<RuntimeStream>(ordinal);
    SS_RUNTIME_TRY(StreamCreateWithFlags(&stream->handle_, SS_RUNTIME(StreamNonBlocking)));
    return std::unique_ptr<Stream>(std::move(stream));
  }
  ~RuntimeStream() override {
    (void)make_current(ordinal_);
    if (handle_ != nullptr) (void)SS_RUNTIME(StreamDestroy)(handle_);
  }

  void overlap_kernels() override { overlaps_kernels_ = true; }

  Result<void> launch(const KernelCall& call) override {
    SS_TRY_VOID(make_current(ordinal_));
    const LaunchShape& shape = call.shape;
#if defined(SS_GPU_RUNTIME_CUDA)
    // More than 48 KiB of dynamic shared memory must be requested per kernel.
    if (shape.shared_bytes > (std::size_t{48} << 10)) {
      SS_RUNTIME_TRY(FuncSetAttribute(call.function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(shape.shared_bytes)));
    }
#endif
    std::array<void*, 1> arguments = {const_cast<void*>(call.argument)};
#if defined(SS_GPU_RUNTIME_CUDA)
    if (overlaps_kernels_ || shape.cluster_blocks > 1) return launch_with_attributes(call, arguments.data());
#else
    if (shape.cluster_blocks > 1) {
      return Error{ErrorCode::kInternal,
                   fmt::format("kernel {}: clusters of blocks on a device that has none", call.name)};
    }
#endif
    return check(SS_RUNTIME(LaunchKernel)(call.function, dim3(shape.grid.x, shape.grid.y, shape.grid.z),
                                          dim3(shape.threads), arguments.data(), shape.shared_bytes, handle_),
                 call.name);
  }

  Result<void> call(const LibraryCall& call) override {
    SS_TRY_VOID(make_current(ordinal_));
    return call.enqueue(handle_);
  }

  Result<void> copy(void* to, const void* from, std::size_t bytes) override {
    SS_TRY_VOID(make_current(ordinal_));
    SS_RUNTIME_TRY(MemcpyAsync(to, from, bytes, SS_RUNTIME(MemcpyDefault), handle_));
    return {};
  }

  Result<void> fill(void* to, std::uint8_t byte, std::size_t bytes) override {
    SS_TRY_VOID(make_current(ordinal_));
    SS_RUNTIME_TRY(MemsetAsync(to, byte, bytes, handle_));
    return {};
  }

  Result<void> record(Event& event) override {
    SS_TRY_VOID(make_current(ordinal_));
    SS_RUNTIME_TRY(EventRecord(static_cast<RuntimeEvent&>(event).handle, handle_));
    return {};
  }

  Result<void> begin_capture() override {
    SS_TRY_VOID(make_current(ordinal_));
    SS_RUNTIME_TRY(StreamBeginCapture(handle_, SS_RUNTIME(StreamCaptureModeThreadLocal)));
    return {};
  }

  Result<std::unique_ptr<Graph>> end_capture() override {
    SS_TRY_VOID(make_current(ordinal_));
    SS_RUNTIME(Graph_t) captured = nullptr;
    SS_RUNTIME_TRY(StreamEndCapture(handle_, &captured));
    auto graph = std::make_unique<RuntimeGraph>(ordinal_);
#if defined(SS_GPU_RUNTIME_CUDA) && CUDART_VERSION >= 12000
    const Status status = cudaGraphInstantiate(&graph->executable, captured, 0);
#else
    const Status status = SS_RUNTIME(GraphInstantiate)(&graph->executable, captured, nullptr, nullptr, 0);
#endif
    (void)SS_RUNTIME(GraphDestroy)(captured);  // the executable graph has its own copy
    SS_TRY_VOID(check(status, "GraphInstantiate"));
#if defined(SS_GPU_RUNTIME_CUDA)
    SS_RUNTIME_TRY(GraphUpload(graph->executable, handle_));  // otherwise the first replay uploads it
#endif
    return std::unique_ptr<Graph>(std::move(graph));
  }

  Result<void> replay(Graph& graph) override {
    SS_TRY_VOID(make_current(ordinal_));
    SS_RUNTIME_TRY(GraphLaunch(static_cast<RuntimeGraph&>(graph).executable, handle_));
    return {};
  }

  Result<void> synchronize() override {
    SS_TRY_VOID(make_current(ordinal_));
    SS_RUNTIME_TRY(StreamSynchronize(handle_));
    return {};
  }

 private:
#if defined(SS_GPU_RUNTIME_CUDA)
  Result<void> launch_with_attributes(const KernelCall& call, void** arguments) {
    std::array<cudaLaunchAttribute, 2> attributes{};
    cudaLaunchConfig_t configuration{};
    configuration.attrs = attributes.data();
    if (overlaps_kernels_) {
      cudaFuncAttributes code{};
      SS_RUNTIME_TRY(FuncGetAttributes(&code, call.function));
      if (code.ptxVersion < kFirstPtxThatWaits) {
        return Error{ErrorCode::kUnavailable,
                     fmt::format("dependent_launch=1: the code of kernel {} is that of sm_{}, which does not wait for "
                                 "earlier kernels; this module has none of this device's own",
                                 call.name, code.ptxVersion)};
      }
      cudaLaunchAttribute& attribute = attributes[configuration.numAttrs++];
      attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      attribute.val.programmaticStreamSerializationAllowed = 1;
    }
    const LaunchShape& shape = call.shape;
    if (shape.cluster_blocks > 1) {
      cudaLaunchAttribute& attribute = attributes[configuration.numAttrs++];
      attribute.id = cudaLaunchAttributeClusterDimension;
      attribute.val.clusterDim.x = shape.cluster_blocks;
      attribute.val.clusterDim.y = 1;
      attribute.val.clusterDim.z = 1;
    }
    configuration.gridDim = dim3(shape.grid.x, shape.grid.y, shape.grid.z);
    configuration.blockDim = dim3(shape.threads);
    configuration.dynamicSmemBytes = shape.shared_bytes;
    configuration.stream = handle_;
    return check(cudaLaunchKernelExC(&configuration, call.function, arguments), call.name);
  }
#endif

  int ordinal_;
  SS_RUNTIME(Stream_t) handle_ = nullptr;
  bool overlaps_kernels_ = false;
};

class RuntimeDevice final : public Device {
 public:
  RuntimeDevice(int ordinal, DeviceProperties properties, ProcessMemory::ReadSensors read_sensors)
      : ordinal_(ordinal), properties_(std::move(properties)), memory_(std::move(read_sensors)) {}

  [[nodiscard]] const DeviceProperties& properties() const override { return properties_; }
  Result<void> make_current() override { return gpu::runtime::make_current(ordinal_); }

  Result<void*> allocate(std::size_t bytes) override {
    SS_TRY_VOID(make_current());
    void* memory = nullptr;
    SS_RUNTIME_TRY(Malloc(&memory, bytes));
    return memory;
  }
  void free(void* memory) override {
    (void)make_current();
    (void)SS_RUNTIME(Free)(memory);
  }

  Result<void*> allocate_pinned(std::size_t bytes) override {
    SS_TRY_VOID(make_current());
    void* memory = nullptr;
#if defined(SS_GPU_RUNTIME_CUDA)
    SS_RUNTIME_TRY(HostAlloc(&memory, bytes, cudaHostAllocDefault));
#else
    SS_RUNTIME_TRY(HostMalloc(&memory, bytes, hipHostMallocDefault));
#endif
    return memory;
  }
  void free_pinned(void* memory) override {
    (void)make_current();
#if defined(SS_GPU_RUNTIME_CUDA)
    (void)cudaFreeHost(memory);
#else
    (void)hipHostFree(memory);
#endif
  }

#if defined(SS_GPU_RUNTIME_CUDA)
  Result<TensorMap> tensor_map(const TiledMatrix& matrix) override {
    if (!properties_.has_warpgroups) return Device::tensor_map(matrix);
    SS_TRY_VOID(make_current());
    return encode_tensor_map(matrix);
  }
#endif

  Result<std::unique_ptr<Stream>> create_stream() override {
    return RuntimeStream::create(ordinal_);
  }
  Result<std::unique_ptr<Event>> create_event() override {
    return RuntimeEvent::create(ordinal_);
  }

  Result<bool> is_done(Event& event) override {
    SS_TRY_VOID(make_current());
    const Status status = SS_RUNTIME(EventQuery)(static_cast<RuntimeEvent&>(event).handle);
    if (status == SS_RUNTIME(ErrorNotReady)) {
      (void)SS_RUNTIME(GetLastError)();
      return false;
    }
    SS_TRY_VOID(check(status, "EventQuery"));
    return true;
  }

  Result<std::int64_t> elapsed_ns(Event& from, Event& to) override {
    SS_TRY_VOID(make_current());
    float milliseconds = 0;
    SS_RUNTIME_TRY(EventElapsedTime(&milliseconds, static_cast<RuntimeEvent&>(from).handle,
                                    static_cast<RuntimeEvent&>(to).handle));
    return static_cast<std::int64_t>(1e6 * static_cast<double>(milliseconds));
  }

  [[nodiscard]] std::optional<std::int64_t> process_bytes() const override {
    return memory_.bytes();
  }

  /// Creates the context.
  Result<void> open() {
    SS_TRY_VOID(make_current());
    SS_RUNTIME_TRY(Free(nullptr));
    memory_.made_context([ordinal = ordinal_]() -> std::optional<std::int64_t> {
      std::size_t free = 0;
      std::size_t total = 0;
      if (!gpu::runtime::make_current(ordinal) || !check(SS_RUNTIME(MemGetInfo)(&free, &total), "MemGetInfo"))
        return std::nullopt;
      return static_cast<std::int64_t>(total - free);
    });
    properties_.fingerprint.emplace_back("process_memory", memory_.source());
    return {};
  }

 private:
  int ordinal_;
  DeviceProperties properties_;
  ProcessMemory memory_;
};

/// 13000 is "13.0" (CUDA); 50221153 is "5.2.21153" (HIP).
std::string version_text(int version) {
#if defined(SS_GPU_RUNTIME_CUDA)
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
#else
  return fmt::format("{}.{}.{}", version / 10'000'000, version / 100'000 % 100, version % 100'000);
#endif
}

#if defined(SS_GPU_RUNTIME_CUDA)
void describe(const cudaDeviceProp& raw, DeviceSummary& summary) {
  summary.properties.target = fmt::format("sm_{}{}", raw.major, raw.minor);
  const auto* const bytes = reinterpret_cast<const unsigned char*>(raw.uuid.bytes);
  summary.uuid = "GPU-";
  for (int at = 0; at < 16; ++at) {
    if (at == 4 || at == 6 || at == 8 || at == 10) summary.uuid += '-';
    summary.uuid += fmt::format("{:02x}", bytes[at]);
  }
  summary.properties.max_shared_bytes = raw.sharedMemPerBlockOptin;
  summary.properties.has_warpgroups = summary.properties.target == "sm_90";  // its code is compiled for sm_90a
  summary.properties.has_dependent_launch = raw.major >= 9;
}
#else
void describe(const hipDeviceProp_t& raw, DeviceSummary& summary) {
  const std::string architecture = raw.gcnArchName;  // "gfx90a:sramecc+:xnack-"
  summary.properties.target = architecture.substr(0, architecture.find(':'));
  summary.properties.max_shared_bytes = raw.sharedMemPerBlock;
}
#endif

}  // namespace

Result<std::vector<DeviceSummary>> list_devices() {
  int n_devices = 0;
  const Result<void> counted = check(SS_RUNTIME(GetDeviceCount)(&n_devices), "GetDeviceCount");
  if (!counted) return Error{ErrorCode::kUnavailable, counted.error().message};
  std::vector<DeviceSummary> devices;
  for (int ordinal = 0; ordinal < n_devices; ++ordinal) {
#if defined(SS_GPU_RUNTIME_CUDA)
    cudaDeviceProp raw{};
#else
    hipDeviceProp_t raw{};
#endif
    SS_RUNTIME_TRY(GetDeviceProperties(&raw, ordinal));
    std::array<char, 32> pci_bus_id{};
    SS_RUNTIME_TRY(DeviceGetPCIBusId(pci_bus_id.data(), static_cast<int>(pci_bus_id.size()), ordinal));
    DeviceSummary summary{.ordinal = ordinal, .properties = {}, .uuid = {}, .pci_bus_id = pci_bus_id.data()};
    summary.properties.id = std::to_string(ordinal);
    summary.properties.name = raw.name;
    summary.properties.warp_size = raw.warpSize;
    summary.properties.n_processors = raw.multiProcessorCount;
    summary.properties.memory_bytes = static_cast<std::int64_t>(raw.totalGlobalMem);
    describe(raw, summary);
    devices.push_back(std::move(summary));
  }
  return devices;
}

std::vector<std::pair<std::string, std::string>> runtime_versions() {
  int runtime = 0;
  int driver = 0;
  (void)SS_RUNTIME(RuntimeGetVersion)(&runtime);
  (void)SS_RUNTIME(DriverGetVersion)(&driver);
  return {{"runtime", version_text(runtime)}, {"runtime_of_driver", version_text(driver)}};
}

Result<std::unique_ptr<Device>> open_device(const DeviceSummary& summary, const DeviceSensors& sensors,
                                            ProcessMemory::ReadSensors read_sensors) {
  DeviceProperties properties = summary.properties;
  properties.fingerprint = runtime_versions();
  properties.fingerprint.emplace_back("processors", std::to_string(properties.n_processors));
  for (auto& property : sensors.properties()) properties.fingerprint.push_back(std::move(property));
  auto device = std::make_unique<RuntimeDevice>(summary.ordinal, std::move(properties), std::move(read_sensors));
  const Result<void> opened = device->open();
  if (!opened) return opened.error().with_context(fmt::format("device {}", summary.properties.id));
  return std::unique_ptr<Device>(std::move(device));
}

}  // namespace secondsource::gpu::runtime
