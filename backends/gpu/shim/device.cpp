#include "gpu/shim/device.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "core/check.h"
#include "core/checked.h"
#include "core/clock.h"
#include "gpu/shim/cluster_runner.h"
#include "gpu/shim/tensor_map.h"
#include "gpu/shim/unwritten.h"

namespace secondsource::gpu::shim {
namespace {

constexpr std::size_t kAlignment = 256;

class ShimEvent final : public Event {
 public:
  Stream* stream = nullptr;  ///< stream of its last record()
  std::int64_t passed_at_ns = -1;
};

/// A launch that owns a copy of its argument.
struct KeptCall {
  static constexpr std::size_t kLineWords = kTensorMapAlignment / sizeof(std::uint64_t);
  /// Words with the alignment of a TensorMap, the largest that an argument has.
  struct alignas(kTensorMapAlignment) Line {
    std::uint64_t word[kLineWords] = {};
  };
  KernelCall call;
  std::vector<Line> argument;
  std::vector<std::uint64_t> owners;  ///< ShimMemory::owner() of each word at capture; 0 if it was no address

  KeptCall(const KernelCall& borrowed, const ShimMemory& memory)
      : call(borrowed), argument(ceil_divide(borrowed.argument_bytes, sizeof(Line))) {
    std::copy_n(static_cast<const std::byte*>(borrowed.argument), borrowed.argument_bytes,
                reinterpret_cast<std::byte*>(argument.data()));
    for (const std::uint64_t word : words()) owners.push_back(memory.owner(word));
  }
  /// Index of an address in the argument whose allocation was freed or replaced since capture.
  [[nodiscard]] std::optional<std::size_t> stale_word(const ShimMemory& memory) const {
    for (std::size_t i = 0; i < owners.size(); ++i) {
      if (owners[i] != 0 && memory.owner(words()[i]) != owners[i]) return i;
    }
    return std::nullopt;
  }

 private:
  [[nodiscard]] std::span<const std::uint64_t> words() const {
    return {argument.empty() ? nullptr : &argument[0].word[0], argument.size() * kLineWords};
  }
};

class ShimGraph final : public Graph {
 public:
  std::vector<std::function<Result<void>()>> work;
};

/// Runs the clusters of a kernel in order, on a few OS threads. Most clusters are a single block.
class GridRunner {
 public:
  GridRunner(const ShimOptions& options, const DeviceProperties& properties)
      : max_shared_bytes_(properties.max_shared_bytes), has_clusters_(properties.has_warpgroups) {
    for (int i = 0; i < std::max(options.n_threads, 1); ++i) {
      runners_.push_back(std::make_unique<ClusterRunner>(options.order, options.seed, properties.warp_size,
                                                         properties.has_warpgroups));
    }
    reverse_ = options.order == ThreadOrder::kReverse;
  }

  Result<void> run(const KernelCall& call) {
    Dim3 grid = call.shape.grid;
    const std::uint32_t cluster_blocks = call.shape.cluster_blocks;
    constexpr std::uint32_t kMostClusterBlocks = 8;  // that every device with clusters can run
    if (cluster_blocks < 1 || cluster_blocks > (has_clusters_ ? kMostClusterBlocks : 1) ||
        grid.x % cluster_blocks != 0) {
      return Error{ErrorCode::kInternal,
                   fmt::format("kernel {}: a cluster of {} blocks, of {} along x", call.name, cluster_blocks, grid.x)};
    }
    grid.x /= cluster_blocks;
    const std::int64_t n_clusters = std::int64_t{grid.x} * grid.y * grid.z;
    if (call.shape.shared_bytes > max_shared_bytes_) {
      return Error{ErrorCode::kInternal, fmt::format("kernel {}: expected at most {} bytes of shared memory, found {}",
                                                     call.name, max_shared_bytes_, call.shape.shared_bytes)};
    }
    std::atomic<std::int64_t> next{0};
    std::mutex mutex;
    Result<void> result;
    const auto work = [&](ClusterRunner& runner) {
      for (std::int64_t i = next++; i < n_clusters; i = next++) {
        const auto c = static_cast<std::uint64_t>(reverse_ ? n_clusters - 1 - i : i);
        const Dim3 first{static_cast<std::uint32_t>(c % grid.x) * cluster_blocks,
                         static_cast<std::uint32_t>(c / grid.x % grid.y),
                         static_cast<std::uint32_t>(c / grid.x / grid.y)};
        auto ran = runner.run(call, first);
        if (ran) continue;
        const std::lock_guard lock(mutex);
        if (result) result = ran;
        next = n_clusters;
      }
    };
    std::vector<std::jthread> helpers;
    for (std::size_t i = 1; i < runners_.size() && static_cast<std::int64_t>(i) < n_clusters; ++i) {
      helpers.emplace_back([&, i] { work(*runners_[i]); });
    }
    work(*runners_[0]);
    helpers.clear();
    return result;
  }

 private:
  std::vector<std::unique_ptr<ClusterRunner>> runners_;
  std::size_t max_shared_bytes_;
  bool has_clusters_;
  bool reverse_ = false;
};

class ShimStream final : public Stream {
 public:
  ShimStream(const ShimMemory& memory, const ShimOptions& options, const DeviceProperties& properties)
      : memory_(memory), grid_runner_(options, properties) {}

  Result<void> launch(const KernelCall& call) override {
    keep([this, kept = KeptCall(call, memory_)] { return run(kept); });
    return {};
  }
  Result<void> call(const LibraryCall& call) override {
    std::vector<std::uint64_t> owners;
    for (const void* const address : call.addresses) owners.push_back(owner(address));
    keep([this, call, owners = std::move(owners)]() -> Result<void> {
      for (std::size_t i = 0; i < owners.size(); ++i) {
        if (owners[i] == 0 || owner(call.addresses[i]) == owners[i]) continue;
        return Error{ErrorCode::kInternal,
                     fmt::format("{}: operand {} is in memory that was freed since", call.name, i)};
      }
      for (std::size_t i = 0; i < call.reads.size(); ++i) {
        const auto unwritten = find_unwritten(call.reads[i].data(), call.reads[i].size());
        if (!unwritten) continue;
        return Error{ErrorCode::kInternal,
                     fmt::format("{}: byte {} of operand {} was read, and nobody wrote it", call.name, *unwritten, i)};
      }
      return call.enqueue(nullptr);
    });
    return {};
  }
  Result<void> copy(void* to, const void* from, std::size_t bytes) override {
    if (capturing_) return Error{ErrorCode::kInternal, "shim: a copy during a capture"};
    enqueue([this, to, from, bytes]() -> Result<void> {
      if (memory_.is_on_device(from) && !memory_.is_on_device(to)) {
        if (const auto unwritten = find_unwritten(from, bytes)) {
          return Error{ErrorCode::kInternal,
                       fmt::format("a copy of {} bytes to the host: nobody wrote byte {}", bytes, *unwritten)};
        }
      }
      std::memcpy(to, from, bytes);
      return {};
    });
    return {};
  }
  Result<void> fill(void* to, std::uint8_t byte, std::size_t bytes) override {
    if (capturing_) return Error{ErrorCode::kInternal, "shim: a fill during a capture"};
    enqueue([to, byte, bytes]() -> Result<void> {
      std::memset(to, byte, bytes);
      return {};
    });
    return {};
  }
  Result<void> record(Event& event) override {
    if (capturing_) return Error{ErrorCode::kInternal, "shim: an event during a capture"};
    auto& own = static_cast<ShimEvent&>(event);
    own.stream = this;
    own.passed_at_ns = -1;
    enqueue([&own]() -> Result<void> {
      own.passed_at_ns = now_ns();
      return {};
    });
    return {};
  }
  Result<void> begin_capture() override {
    if (capturing_) return Error{ErrorCode::kInternal, "shim: a capture within a capture"};
    capturing_ = std::make_unique<ShimGraph>();
    return {};
  }
  Result<std::unique_ptr<Graph>> end_capture() override {
    if (!capturing_) return Error{ErrorCode::kInternal, "shim: no capture to end"};
    return std::unique_ptr<Graph>(std::move(capturing_));
  }
  Result<void> replay(Graph& graph) override {
    auto& own = static_cast<ShimGraph&>(graph);
    enqueue([this, &own]() -> Result<void> {
      for (const auto& work : own.work) SS_TRY_VOID(work());
      return {};
    });
    return {};
  }
  Result<void> synchronize() override {
    while (!queue_.empty()) {
      if (!failure_) {
        if (auto ran = queue_.front()(); !ran) failure_ = ran.error();
      }
      queue_.pop_front();
    }
    if (failure_) return Error{ErrorCode::kDeviceLost, failure_->message};
    return {};
  }

 private:
  void enqueue(std::function<Result<void>()> work) { queue_.push_back(std::move(work)); }
  /// Adds to the graph during a capture, else to the queue.
  void keep(std::function<Result<void>()> work) {
    if (capturing_) {
      capturing_->work.push_back(std::move(work));
    } else {
      enqueue(std::move(work));
    }
  }
  [[nodiscard]] std::uint64_t owner(const void* address) const {
    return memory_.owner(reinterpret_cast<std::uintptr_t>(address));
  }

  Result<void> run(const KeptCall& kept) {
    if (const auto stale = kept.stale_word(memory_)) {
      return Error{ErrorCode::kInternal,
                   fmt::format("kernel {}: byte {} of its argument is an address in memory that was freed since",
                               kept.call.name, *stale * sizeof(std::uint64_t))};
    }
    KernelCall call = kept.call;
    call.argument = kept.argument.data();
    return grid_runner_.run(call);
  }

  const ShimMemory& memory_;
  GridRunner grid_runner_;
  std::deque<std::function<Result<void>()>> queue_;
  std::unique_ptr<ShimGraph> capturing_;
  std::optional<Error> failure_;
};

class ShimDevice final : public Device {
 public:
  explicit ShimDevice(const ShimOptions& options) : options_(options) {
    properties_.id = "0";
    properties_.name = "GPU kernels run on the CPU as on " + options.target;
    properties_.target = options.target;
    properties_.warp_size = options.target == "gfx90a" || options.target == "gfx942" ? 64 : 32;
    properties_.n_processors = options.n_processors;
    properties_.has_warpgroups = options.target == "sm_90a";
    properties_.has_dependent_launch = properties_.has_warpgroups;
    // The smallest of all devices of a vendor (sm_89 and sm_120 on NVIDIA's side), so that a kernel that fits here fits everywhere;
    // sm_90a has kernels of its own that need more.
    const bool is_nvidia = options.target.starts_with("sm_");
    properties_.max_shared_bytes = std::size_t{properties_.has_warpgroups ? 227U : is_nvidia ? 99U : 64U} << 10;
    properties_.memory_bytes =
        static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::int64_t>(sysconf(_SC_PAGESIZE));
  }

  [[nodiscard]] const DeviceProperties& properties() const override { return properties_; }
  Result<void*> allocate(std::size_t bytes) override { return memory_.allocate(bytes, ShimMemory::Kind::kDevice); }
  void free(void* memory) override { memory_.free(memory); }
  Result<void*> allocate_pinned(std::size_t bytes) override {
    return memory_.allocate(bytes, ShimMemory::Kind::kPinned);
  }
  void free_pinned(void* memory) override { memory_.free(memory); }
  Result<TensorMap> tensor_map(const TiledMatrix& matrix) override {
    if (!properties_.has_warpgroups) return Device::tensor_map(matrix);
    return encode(matrix);
  }
  Result<std::unique_ptr<Stream>> create_stream() override {
    return std::unique_ptr<Stream>(std::make_unique<ShimStream>(memory_, options_, properties_));
  }
  Result<std::unique_ptr<Event>> create_event() override {
    return std::unique_ptr<Event>(std::make_unique<ShimEvent>());
  }
  Result<bool> is_done(Event& event) override {
    auto& own = static_cast<ShimEvent&>(event);
    if (own.stream != nullptr) SS_TRY_VOID(own.stream->synchronize());
    return own.passed_at_ns >= 0;
  }
  Result<std::int64_t> elapsed_ns(Event& from, Event& to) override {
    return static_cast<ShimEvent&>(to).passed_at_ns - static_cast<ShimEvent&>(from).passed_at_ns;
  }

 private:
  ShimOptions options_;
  DeviceProperties properties_;
  ShimMemory memory_;
};

}  // namespace

Result<void*> ShimMemory::allocate(std::size_t bytes, Kind kind) {
  if (bytes == 0) return Error{ErrorCode::kInternal, "shim: an allocation of no bytes"};
  const auto page_bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t used_bytes = round_up(bytes, kAlignment);
  const std::size_t inner_bytes = round_up(used_bytes, page_bytes);
  const std::size_t mapped_bytes = inner_bytes + 2 * page_bytes;
  if (bytes > mapped_bytes) return Error{ErrorCode::kOutOfMemory, fmt::format("shim: {} bytes", bytes)};
  // The first and the last page are inaccessible. The allocation ends where the last page begins.
  void* const mapping = mmap(nullptr, mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return Error{ErrorCode::kOutOfMemory, fmt::format("shim: {} bytes", bytes)};
  auto* const inner = static_cast<std::byte*>(mapping) + page_bytes;
  if (mprotect(inner, inner_bytes, PROT_READ | PROT_WRITE) != 0) {
    munmap(mapping, mapped_bytes);
    return Error{ErrorCode::kOutOfMemory, fmt::format("shim: {} bytes", bytes)};
  }
  std::byte* const address = inner + (inner_bytes - used_bytes);
  mark_unwritten(address, used_bytes);
  blocks_[reinterpret_cast<std::uintptr_t>(address)] = {kind, bytes, mapping, mapped_bytes, ++n_allocated_};
  return static_cast<void*>(address);
}

void ShimMemory::free(void* memory) {
  if (memory == nullptr) return;
  const auto found = blocks_.find(reinterpret_cast<std::uintptr_t>(memory));
  SS_CHECK(found != blocks_.end(), "memory that the shim did not allocate, or freed twice");
  munmap(found->second.mapping, found->second.mapped_bytes);
  blocks_.erase(found);
}

ShimMemory::~ShimMemory() {
  while (!blocks_.empty()) free(reinterpret_cast<void*>(blocks_.begin()->first));
}

const ShimMemory::Block* ShimMemory::find(std::uintptr_t address) const {
  auto after = blocks_.upper_bound(address);
  if (after == blocks_.begin()) return nullptr;
  --after;
  return address < after->first + after->second.bytes ? &after->second : nullptr;
}

std::uint64_t ShimMemory::owner(std::uintptr_t address) const {
  const Block* const block = find(address);
  return block == nullptr ? 0 : block->serial;
}

bool ShimMemory::is_on_device(const void* address) const {
  const Block* const block = find(reinterpret_cast<std::uintptr_t>(address));
  return block != nullptr && block->kind == Kind::kDevice;
}

std::unique_ptr<Device> make_shim_device(const ShimOptions& options) {
  return std::make_unique<ShimDevice>(options);
}

}  // namespace secondsource::gpu::shim
