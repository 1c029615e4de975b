#pragma once
// The boundary between the engine and a device. Operations are data (op.h); a step is compiled once and submitted many
// times. Only views, sizes and Results cross the boundary, no vendor types and no exceptions. docs/backends.md explains
// how to add a backend.
//
//   SS_TRY(const WeightId w, backend.prepare_weight(spec));            // once per weight
//   SS_TRY(const KvPoolId pool, backend.create_kv_pool(kv, n_pages));
//   SS_TRY(auto step, backend.compile(graph, bucket, pool, GroupTiming::kOff));
//   SS_TRY(const Ticket ticket, step->submit(batch));                  // never blocks on the device
//   SS_TRY(const StepResult result, backend.wait(ticket, deadline));   // every timed region ends here
//
// Errors: compile() and prepare_weight() fail recoverably (kOutOfMemory, kUnsupported). After the first failure of
// submit() or wait() the backend is poisoned: every call returns kDeviceLost with the first cause. NaN in the logits is
// not a device error; SampledToken::finite reports it.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/batch.h"
#include "backend/device_rates.h"
#include "backend/op.h"
#include "backend/weights.h"
#include "core/result.h"

namespace secondsource {

/// The backend's description of one of its devices; part of the report's fingerprint.
struct DeviceInfo {
  std::string backend;  ///< "cpu"
  std::string id;       ///< the value that --device accepts: "0", a UUID
  std::string name;     ///< "AMD EPYC ... (AVX-512, BF16, VNNI)"
  std::vector<std::pair<std::string, std::string>> properties =
      {};  ///< library versions, instruction sets, threads, page size
  std::int64_t memory_bytes = 0;
  std::int32_t page_tokens = 16;  ///< the device's preferred number of tokens per KV page
  DType kv_dtype = DType::kBf16;  ///< the device's preferred element type of the cache
  /// Row counts worth compiling a step for, ascending: {1, 4, 16, 64, 512}.
  std::vector<std::int32_t> token_buckets = {};
  std::size_t alignment_bytes = 64;
  bool is_host = true;             ///< the device uses host memory
  std::int32_t n_seq_slots = 256;  ///< number of sequences whose last sampled id the device can keep
  /// Variables that must be in the environment of a process from its start for it to see this device and no other, such
  /// as CUDA_VISIBLE_DEVICES. This is the only way to use one part of a partitioned GPU.
  std::vector<std::pair<std::string, std::string>> environment = {};
};

/// Options for creating a backend. Every setting that changes speed is here, so that it can be recorded.
struct BackendOptions {
  std::string device_id;                ///< empty: the first device
  std::int32_t n_threads = 0;           ///< 0: one per CPU that this process may use
  std::vector<std::int32_t> cpus = {};  ///< pin thread i to cpus[i]; empty: not pinned
  bool strict = false;                  ///< refuse fallbacks inside the backend
  std::vector<std::pair<std::string, std::string>> extra =
      {};  ///< backend-specific, documented in its README (isa=avx2, ...)
};

/// Either yes, or no with a reason for the user.
struct Support {
  bool supported = true;
  std::string reason;
  static Support yes() { return {}; }
  static Support no(std::string why) { return {false, std::move(why)}; }
};

/// Shape of one KV cache. Both K and V are [n_pages, page_tokens, n_kv_heads, head_dim] per layer, in a layout that the
/// backend chooses.
/// With latent_dim > 0 there is no V (HeadShape).
struct KvSpec {
  std::int32_t n_layers = 0;
  std::int32_t n_kv_heads = 0;
  std::int32_t head_dim = 0;
  std::int32_t latent_dim = 0;
  std::int32_t page_tokens = 16;
  DType dtype = DType::kBf16;
  friend bool operator==(const KvSpec&, const KvSpec&) = default;
};

/// Bytes of one page, for K and V of all layers.
[[nodiscard]] std::int64_t kv_page_bytes(const KvSpec& spec);

/// Bytes of the key, or of the value, of one token and KV head: its elements and, for i8, their f32 scale.
[[nodiscard]] std::int64_t kv_row_bytes(DType dtype, std::int32_t head_dim);

struct PageCopy {
  std::int32_t from_page = 0;
  std::int32_t to_page = 0;
};

/// Slots [first_slot, first_slot + n_slots) of one layer, either keys or values. A cache of latents has keys alone.
struct KvRange {
  std::int32_t layer = 0;
  bool values = false;
  std::int32_t first_slot = 0;
  std::int32_t n_slots = 0;
};

/// Bytes by purpose, counted by the backend's own allocator.
struct MemoryUse {
  std::int64_t weights_bytes = 0;
  std::int64_t kv_bytes = 0;
  std::int64_t workspace_bytes = 0;
  std::int64_t runtime_bytes = 0;  ///< context, code, library state; 0 if it cannot be determined
  std::int64_t peak_bytes = 0;     ///< highest total so far
  /// The part of weights_bytes in huge pages of the host; empty if the weights are not in host memory or the system
  /// does not report it.
  std::optional<std::int64_t> huge_weights_bytes = {};
  [[nodiscard]] std::int64_t total_bytes() const { return weights_bytes + kv_bytes + workspace_bytes + runtime_bytes; }
};

/// Operations that a backend runs as one unit, and the kernel it uses; part of the report.
struct OpGroup {
  std::vector<std::int32_t> ops;  ///< indices into StepGraph::ops
  std::string kernel;             ///< "matmul_bf16_f32acc_avx512"
  std::string fallback;           ///< why a slower path was taken; empty when none was
};

enum class GroupTiming : std::uint8_t {
  kOff,  ///< measure only StepResult::device_ns
  kOn,   ///< also time each group; results of such traced steps never become samples
};

/// A submitted step; Backend::wait() consumes it.
enum class Ticket : std::int64_t {};

/// The absolute time on the monotonic clock (core/clock.h) at which wait() gives up and poisons the backend.
struct Deadline {
  std::int64_t at_ns = INT64_MAX;
};

/// One forward pass compiled for one bucket. It is immutable and must not outlive its backend.
class Step {
 public:
  virtual ~Step() = default;
  [[nodiscard]] virtual std::size_t workspace_bytes() const = 0;
  /// The groups of the graph; in a traced step, with the kernels of the last batch.
  [[nodiscard]] virtual std::span<const OpGroup> groups() const = 0;
  /// Does the remaining preparation after all steps have been compiled, so that no timed region includes it: compiling
  /// another step can undo it. If submit() has to do it instead, StepResult::made_ready is set. By default nothing
  /// remains to be done after compile(). Errors: kOutOfMemory, kDeviceLost.
  virtual Result<void> make_ready() { return {}; }
  /// Checks only the counts of the batch. Allocates no memory that grows with the model, and never blocks on the
  /// device.
  virtual Result<Ticket> submit(const Batch& batch) = 0;
  /// The content of an observed value after the last completed step, [rows, cols] row-major f32. For tests.
  virtual Result<std::vector<float>> read_value(ValueId id) const = 0;
};

/// One reading of a device sensor. A value that cannot be read carries the reason and is never reported as zero.
struct TelemetryReading {
  std::string name;  ///< "device_power_w", "device_utilisation", "device_clock_hz"
  std::optional<double> value;
  std::string why_not;  ///< "not available: ..." when value is empty
};

class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual const DeviceInfo& device() const noexcept = 0;
  /// Whether this backend can run the operation on these values.
  [[nodiscard]] virtual Support supports(const Op& op, std::span<const ValueDesc> values) const = 0;
  /// Whether this backend can prepare weights of this encoding.
  [[nodiscard]] virtual Support supports_weight(WeightEncoding encoding, ActQuant act) const = 0;
  /// Reads the rows from the source (at most 64 MiB in flight) and stores them in the backend's own layout.
  virtual Result<WeightId> prepare_weight(const WeightSpec& spec) = 0;
  /// The prepared weight as canonical f32 [n_rows, n_cols], with the rows of its parts one after the other. For tests.
  virtual Result<std::vector<float>> unprepare_weight(WeightId id) const = 0;
  virtual Result<KvPoolId> create_kv_pool(const KvSpec& spec, std::int64_t n_pages) = 0;
  /// Copies whole pages across all layers, for forks and swaps. Ordered after every step submitted before.
  virtual Result<void> kv_copy_pages(KvPoolId pool, std::span<const PageCopy> copies) = 0;
  /// Writes canonical f32 [n_slots, n_kv_heads, head_dim]. For tests.
  virtual Result<void> kv_export(KvPoolId pool, const KvRange& range, std::span<float> out) const = 0;
  /// Checks the values, operations and weights of the graph. A graph that cannot run is refused here, before anything
  /// is timed.
  virtual Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                                GroupTiming group_timing) = 0;
  /// Blocks until the step is complete. Up to two tickets may be in flight; they complete in order.
  virtual Result<StepResult> wait(Ticket ticket, Deadline deadline) = 0;
  [[nodiscard]] virtual MemoryUse memory() const = 0;
  /// What the device does at best: how fast it reads its memory and caches, and how many operations it computes per
  /// second. These rates limit every step. The measurement takes a gigabyte of memory or more, which memory() does not
  /// count and which is freed at the end; no step may be in flight. Errors: kUnsupported if the backend does not
  /// measure its device (for the host see host/machine_limits.h); kOutOfMemory if a buffer larger than every cache does
  /// not fit beside what is loaded.
  virtual Result<DeviceRates> measure_rates([[maybe_unused]] RateEffort effort) {
    return Error{ErrorCode::kUnsupported, "not measured by this backend"};
  }
  /// Reads the device's sensors; not called on the measuring thread. Host devices return nothing, because the telemetry
  /// of the host covers them.
  [[nodiscard]] virtual std::vector<TelemetryReading> read_telemetry() const { return {}; }
};

}  // namespace secondsource
