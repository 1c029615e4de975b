#pragma once
// The boundary between the engine and a device. Operations are data (op.h); a step is compiled once and submitted many
// times; only views, sizes and Results cross: no vendor type, no exception. docs/backends.md explains how to add one.
//
//   SS_TRY(const WeightId w, backend.prepare_weight(spec));            // once per weight
//   SS_TRY(const KvPoolId pool, backend.create_kv_pool(kv, n_pages));
//   SS_TRY(auto step, backend.compile(graph, bucket, pool, Trace::kOff));
//   SS_TRY(const Ticket ticket, step->submit(batch));                  // never blocks on the device
//   SS_TRY(const StepResult result, backend.wait(ticket, deadline));   // every timed region ends here
//
// Errors: compile() and prepare_*() fail recoverably (kOutOfMemory, kUnsupported). After the first failure of submit()
// or wait() the backend is poisoned: every call returns kDeviceLost with the first cause. NaN in logits is not an error
// of the device: it is SampledToken::finite.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/batch.h"
#include "backend/op.h"
#include "backend/weights.h"
#include "core/result.h"

namespace secondsource {

/// A device of a backend, as it describes itself: goes into the report's fingerprint.
struct DeviceInfo {
  std::string backend;  ///< "cpu"
  std::string id;       ///< what --device takes: "0", a UUID
  std::string name;     ///< "AMD EPYC ... (AVX-512, BF16, VNNI)"
  std::vector<std::pair<std::string, std::string>> properties =
      {};  ///< library versions, instruction sets, threads, page size
  std::int64_t memory_bytes = 0;
  std::int32_t page_tokens = 16;                 ///< tokens of a KV page that this device prefers
  DType kv_dtype = DType::kBf16;                 ///< type of the cache that this device prefers
  std::vector<std::int32_t> token_buckets = {};  ///< row counts worth compiling for, ascending: {1, 4, 16, 64, 512}
  std::size_t alignment_bytes = 64;
  bool is_host = true;             ///< memory is host memory
  std::int32_t n_seq_slots = 256;  ///< sequences whose last sampled id the device can keep
  /// What a process's environment must hold from its start for it to see this device and no other, such as
  /// CUDA_VISIBLE_DEVICES: the only way into a part of a partitioned GPU.
  std::vector<std::pair<std::string, std::string>> environment = {};
};

/// What Backend creation takes. Everything that changes speed is an input, so that it can be recorded.
struct BackendOptions {
  std::string device_id;                ///< empty: the first
  std::int32_t n_threads = 0;           ///< 0: all that this process may run on
  std::vector<std::int32_t> cpus = {};  ///< pin thread i to cpus[i]; empty: not pinned
  bool strict = false;                  ///< refuse fallbacks inside the backend
  std::vector<std::pair<std::string, std::string>> extra =
      {};  ///< backend-specific, documented in its README (isa=avx2, ...)
};

/// Yes, or no with a reason for a person.
struct Support {
  bool supported = true;
  std::string reason;
  static Support yes() { return {}; }
  static Support no(std::string why) { return {false, std::move(why)}; }
};

/// Shape of one KV cache. Both K and V: [n_pages, page_tokens, n_kv_heads, head_dim] per layer, in a layout of the
/// backend's own.
struct KvSpec {
  std::int32_t n_layers = 0;
  std::int32_t n_kv_heads = 0;
  std::int32_t head_dim = 0;
  std::int32_t page_tokens = 16;
  DType dtype = DType::kBf16;
  friend bool operator==(const KvSpec&, const KvSpec&) = default;
};

/// Bytes of one page over all layers, K and V.
[[nodiscard]] std::int64_t kv_page_bytes(const KvSpec& spec);

/// Bytes of the keys, or of the values, of one token and KV head: its elements, and for i8 their f32 scale.
[[nodiscard]] std::int64_t kv_row_bytes(DType dtype, std::int32_t head_dim);

struct PageCopy {
  std::int32_t from_page = 0;
  std::int32_t to_page = 0;
};

/// Slots [first_slot, first_slot + n_slots) of one layer, keys or values.
struct KvRange {
  std::int32_t layer = 0;
  bool values = false;
  std::int32_t first_slot = 0;
  std::int32_t n_slots = 0;
};

/// Bytes by purpose, from the backend's own allocator.
struct MemoryUse {
  std::int64_t weights_bytes = 0;
  std::int64_t kv_bytes = 0;
  std::int64_t workspace_bytes = 0;
  std::int64_t runtime_bytes = 0;  ///< context, code, library state; 0 where it cannot be known
  std::int64_t peak_bytes = 0;     ///< highest sum of the above so far
  /// Of weights_bytes, what lies in huge pages of the host; empty: they are not in host memory, or nothing tells.
  std::optional<std::int64_t> huge_weights_bytes = {};
  [[nodiscard]] std::int64_t total_bytes() const { return weights_bytes + kv_bytes + workspace_bytes + runtime_bytes; }
};

/// Operations that a backend runs as one, and how: goes into the report.
struct OpGroup {
  std::vector<std::int32_t> ops;  ///< indices into StepGraph::ops
  std::string kernel;             ///< "matmul_bf16_f32acc_avx512"
  std::string fallback;           ///< why a slower path was taken; empty when none was
};

enum class Trace : std::uint8_t {
  kOff,     ///< device_ns only
  kGroups,  ///< a clock per group; such steps never become samples
};

/// A step in flight; consumed by Backend::wait().
enum class Ticket : std::int64_t {};

/// Absolute time on the monotonic clock (core/clock.h) by which wait() gives up and poisons the backend.
struct Deadline {
  std::int64_t at_ns = INT64_MAX;
};

/// One compiled forward pass for one bucket. Immutable; lives no longer than its backend.
class Step {
 public:
  virtual ~Step() = default;
  [[nodiscard]] virtual std::size_t workspace_bytes() const = 0;
  [[nodiscard]] virtual std::span<const OpGroup> groups() const = 0;  ///< traced: as the last batch ran
  /// Does what is left to do before the first submit(), once all steps are compiled, so that it is in no timed region:
  /// compiling another step can undo it. What submit() had to do itself it says by StepResult::made_ready. Default:
  /// nothing is left after compile(). Errors: kOutOfMemory, kDeviceLost.
  virtual Result<void> make_ready() { return {}; }
  /// Checks counts only, allocates nothing that grows with the model, never blocks on the device.
  virtual Result<Ticket> submit(const Batch& batch) = 0;
  /// The content of an observed value after the last completed step, [rows, cols] row-major f32. For tests.
  virtual Result<std::vector<float>> read_value(ValueId id) const = 0;
};

/// One reading of a device's own sensors; what cannot be read carries the reason, never a zero.
struct TelemetryReading {
  std::string name;  ///< "device_power_w", "device_utilisation", "device_clock_hz"
  std::optional<double> value;
  std::string why_not;  ///< "not available: ..." when value is empty
};

class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual const DeviceInfo& device() const noexcept = 0;
  /// Can this operation, over these values, run here? `weights` gives the specs of prepared weights by id.
  [[nodiscard]] virtual Support supports(const Op& op, std::span<const ValueDesc> values) const = 0;
  /// Can weights of this encoding be prepared?
  [[nodiscard]] virtual Support supports_weight(WeightEncoding encoding, ActQuant act) const = 0;
  /// Pulls the rows (at most 64 MiB in flight) into the backend's own layout.
  virtual Result<WeightId> prepare_weight(const WeightSpec& spec) = 0;
  /// The prepared weight as canonical f32 [n_rows, n_cols], parts joined by rows. For tests.
  virtual Result<std::vector<float>> unprepare_weight(WeightId id) const = 0;
  virtual Result<KvPoolId> create_kv_pool(const KvSpec& spec, std::int64_t n_pages) = 0;
  /// Copies whole pages over all layers: forks and swaps. Ordered after every step submitted before.
  virtual Result<void> kv_copy_pages(KvPoolId pool, std::span<const PageCopy> copies) = 0;
  /// Canonical [n_slots, n_kv_heads, head_dim] f32. For tests.
  virtual Result<void> kv_export(KvPoolId pool, const KvRange& range, std::span<float> out) const = 0;
  /// The graph's values, operations and weights are checked; what cannot run is refused here, before anything is timed.
  virtual Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId pool,
                                                Trace trace) = 0;
  /// Blocks until the step is complete. Two tickets may be in flight; they complete in order.
  virtual Result<StepResult> wait(Ticket ticket, Deadline deadline) = 0;
  [[nodiscard]] virtual MemoryUse memory() const = 0;
  /// Bytes/s at which the device reads its own memory, the best of many passes of a loop that does nothing else: the
  /// limit of a step that reads weights. It takes a second and gigabytes of the device. Errors: kUnsupported where the
  /// backend does not measure it (of host memory, measure/machine_limits.h has the limits); kOutOfMemory.
  virtual Result<double> measure_read_rate() { return Error{ErrorCode::kUnsupported, "not measured by this backend"}; }
  /// Reads the device's sensors; called off the measuring thread. Host devices return nothing: the host's own telemetry
  /// covers them.
  [[nodiscard]] virtual std::vector<TelemetryReading> read_telemetry() const { return {}; }
};

}  // namespace secondsource
