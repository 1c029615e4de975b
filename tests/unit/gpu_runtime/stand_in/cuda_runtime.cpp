#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <utility>

namespace {

constexpr int kDevices = 2;
constexpr std::size_t kMuchShared = std::size_t{48} << 10;

thread_local int current_device = 0;

std::mutex mutex;
std::set<int> opened;  ///< devices with a context
std::map<const void*, int> owners;
std::set<std::pair<const void*, int>> with_much_shared;
int launches[kDevices];
int overlapping_launches[kDevices];
unsigned last_cluster[kDevices] = {1, 1};
int ptx_version = 90;
bool has_driver_functions = true;
int refused = 0;

/// The result of a call that requires `device` to be current and to have a context.
cudaError_t on(int device) {
  const std::lock_guard lock(mutex);
  if (device == current_device && opened.contains(device)) return cudaSuccess;
  ++refused;
  return cudaErrorInvalidResourceHandle;
}

cudaError_t create(StandInHandle** handle) {
  if (const cudaError_t error = on(current_device); error != cudaSuccess) return error;
  *handle = new StandInHandle{current_device};
  return cudaSuccess;
}

cudaError_t destroy(StandInHandle* handle) {
  const cudaError_t error = on(handle->device);
  delete handle;
  return error;
}

cudaError_t allocate(void** memory, std::size_t bytes) {
  if (const cudaError_t error = on(current_device); error != cudaSuccess) return error;
  *memory = std::malloc(bytes);
  const std::lock_guard lock(mutex);
  owners[*memory] = current_device;
  return cudaSuccess;
}

cudaError_t release(void* memory) {
  const cudaError_t error = on(device_of_memory(memory));
  const std::lock_guard lock(mutex);
  owners.erase(memory);
  std::free(memory);
  return error;
}

}  // namespace

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return cudaErrorInvalidDevice;
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "stand-in");
  properties->totalGlobalMem = std::size_t{1} << 30;
  properties->sharedMemPerBlockOptin = std::size_t{96} << 10;
  properties->warpSize = 32;
  properties->multiProcessorCount = 4;
  properties->major = 9;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  std::snprintf(id, static_cast<std::size_t>(length), "0000:0%d:00.0", device);
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorInvalidResourceHandle ? "cudaErrorInvalidResourceHandle" : "cudaError";
}
const char* cudaGetErrorString(cudaError_t) {
  return "of the stand-in";
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  return allocate(memory, bytes);
}
cudaError_t cudaFree(void* memory) {
  if (memory != nullptr) return release(memory);
  const std::lock_guard lock(mutex);  // the usual way to create a context
  opened.insert(current_device);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return allocate(memory, bytes);
}
cudaError_t cudaFreeHost(void* memory) {
  return release(memory);
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = std::size_t{1} << 30;
  *free = *total - static_cast<std::size_t>(current_device + 1) * 1000;
  return on(current_device);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return create(stream);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return destroy(stream);
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return on(stream->device);
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  return on(stream->device);
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (const cudaError_t error = on(stream->device); error != cudaSuccess) return error;
  return create(graph);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  if (const cudaError_t error = on(graph->device); error != cudaSuccess) return error;
  return create(executable);
}
cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t) {
  return on(executable->device);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (executable->device != stream->device) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t error = on(stream->device); error != cudaSuccess) return error;
  const std::lock_guard lock(mutex);
  ++launches[stream->device];
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return destroy(graph);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return destroy(executable);
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return create(event);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return destroy(event);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return event->device == stream->device ? on(stream->device) : cudaErrorInvalidResourceHandle;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return on(event->device);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = 1.0F;
  return from->device == to->device ? on(from->device) : cudaErrorInvalidResourceHandle;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  std::memcpy(to, from, bytes);
  return on(stream->device);
}
cudaError_t cudaMemsetAsync(void* to, int byte, std::size_t bytes, cudaStream_t stream) {
  std::memset(to, byte, bytes);
  return on(stream->device);
}
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute, int value) {
  const std::lock_guard lock(mutex);
  if (static_cast<std::size_t>(value) > kMuchShared) with_much_shared.insert({function, current_device});
  return cudaSuccess;
}
cudaError_t cudaLaunchKernel(const void* function, dim3, dim3, void**, std::size_t shared_bytes, cudaStream_t stream) {
  if (const cudaError_t error = on(stream->device); error != cudaSuccess) return error;
  const std::lock_guard lock(mutex);
  if (shared_bytes > kMuchShared && !with_much_shared.contains({function, stream->device})) {
    return cudaErrorInvalidDevice;
  }
  ++launches[stream->device];
  last_cluster[stream->device] = 1;
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  const std::lock_guard lock(mutex);
  attributes->ptxVersion = ptx_version;
  return cudaSuccess;
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* configuration, const void* function, void** arguments) {
  const cudaError_t error = cudaLaunchKernel(function, configuration->gridDim, configuration->blockDim, arguments,
                                             configuration->dynamicSmemBytes, configuration->stream);
  if (error != cudaSuccess) return error;
  const std::lock_guard lock(mutex);
  for (const cudaLaunchAttribute& attribute : std::span(configuration->attrs, configuration->numAttrs)) {
    const bool is_overlapping = attribute.id == cudaLaunchAttributeProgrammaticStreamSerialization &&
                                attribute.val.programmaticStreamSerializationAllowed != 0;
    if (is_overlapping) ++overlapping_launches[configuration->stream->device];
    if (attribute.id == cudaLaunchAttributeClusterDimension) {
      const auto& cluster = attribute.val.clusterDim;
      if (cluster.y != 1 || cluster.z != 1 || configuration->gridDim.x % cluster.x != 0) return cudaErrorInvalidDevice;
      last_cluster[configuration->stream->device] = cluster.x;
    }
  }
  return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned version, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const std::lock_guard lock(mutex);
  const bool is_there = has_driver_functions && version >= 12000 && std::strcmp(symbol, "cuTensorMapEncodeTiled") == 0;
  *function = is_there ? reinterpret_cast<void*>(&cuTensorMapEncodeTiled) : nullptr;
  *result = is_there ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

/// Stores its arguments in the map and refuses those that NVIDIA's documentation of the function does not allow.
// NOLINTNEXTLINE(readability-function-size): as in NVIDIA's header
CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address,
                                const cuuint64_t* extents, const cuuint64_t* strides, const cuuint32_t* box,
                                const cuuint32_t* value_strides, CUtensorMapInterleave interleave,
                                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2_promotion,
                                CUtensorMapFloatOOBfill fill) {
  const std::uint64_t value_bytes = type == CU_TENSOR_MAP_DATA_TYPE_UINT8 ? 1 : 2;
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  const bool is_allowed = reinterpret_cast<std::uintptr_t>(map) % alignof(CUtensorMap) == 0 && rank == 2 &&
                          at % 16 == 0 && extents[0] > 0 && extents[1] > 0 && strides[0] % 16 == 0 &&
                          strides[0] >= extents[0] * value_bytes && box[0] > 0 && box[0] <= 256 && box[1] > 0 &&
                          box[1] <= 256 && box[0] * value_bytes % 16 == 0 && value_strides[0] == 1 &&
                          value_strides[1] == 1 &&
                          (swizzle != CU_TENSOR_MAP_SWIZZLE_128B || box[0] * value_bytes <= 128);
  if (!is_allowed) return CUDA_ERROR_INVALID_VALUE;
  const std::uint64_t words[] = {static_cast<std::uint64_t>(type),
                                 at,
                                 extents[0],
                                 extents[1],
                                 strides[0],
                                 box[0],
                                 box[1],
                                 static_cast<std::uint64_t>(interleave),
                                 static_cast<std::uint64_t>(swizzle),
                                 static_cast<std::uint64_t>(l2_promotion),
                                 static_cast<std::uint64_t>(fill)};
  std::memcpy(map->opaque, words, sizeof(words));
  return CUDA_SUCCESS;
}

int device_of_memory(const void* memory) {
  const std::lock_guard lock(mutex);
  return owners.at(memory);
}
bool may_use_much_shared_memory(const void* function, int device) {
  const std::lock_guard lock(mutex);
  return with_much_shared.contains({function, device});
}
int n_launches(int device) {
  const std::lock_guard lock(mutex);
  return launches[device];
}
void set_ptx_version(int version) {
  const std::lock_guard lock(mutex);
  ptx_version = version;
}
int n_overlapping_launches(int device) {
  const std::lock_guard lock(mutex);
  return overlapping_launches[device];
}
unsigned cluster_of_last_launch(int device) {
  const std::lock_guard lock(mutex);
  return last_cluster[device];
}
void set_driver_functions(bool are_there) {
  const std::lock_guard lock(mutex);
  has_driver_functions = are_there;
}
int n_refused() {
  const std::lock_guard lock(mutex);
  return refused;
}
void forget_contexts() {
  const std::lock_guard lock(mutex);
  opened.clear();
}
