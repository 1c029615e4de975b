#include "host/machine_limits.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <utility>
#include <vector>

#include "backend_kit/host_memory.h"
#include "core/checked.h"
#include "host/limit_loops.h"
#include "host/limit_timing.h"
#include "record/roofline.h"

namespace secondsource {
namespace {

/// A mapped temporary file whose pages are all in memory. The destructor removes it.
class MappedFile {
 public:
  /// Returns nullopt if no such file can be created.
  static std::optional<MappedFile> make(std::size_t bytes) {
    std::error_code failed;
    const std::filesystem::path folder = std::filesystem::temp_directory_path(failed);
    if (failed) return std::nullopt;
    std::string name = (folder / "secondsource-limits-XXXXXX").string();
    const int file = ::mkstemp(name.data());
    if (file < 0) return std::nullopt;
    ::unlink(name.c_str());
    const std::vector<std::byte> piece(std::size_t{1} << 20, std::byte{1});
    bool whole = true;
    for (std::size_t at = 0; whole && at < bytes; at += piece.size()) {
      const std::size_t size = std::min(piece.size(), bytes - at);
      whole = ::write(file, piece.data(), size) == static_cast<ssize_t>(size);
    }
    void* const begin = whole ? ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0) : MAP_FAILED;
    ::close(file);
    if (begin == MAP_FAILED) return std::nullopt;
    return MappedFile({static_cast<const std::byte*>(begin), bytes});
  }
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

/// Measures the time per round of a spinning barrier that counts arrivals.
LimitSamples measure_barrier(int n_threads, int n_repetitions) {
  constexpr int kRounds = 20'000;
  std::vector<double> ns_per_round;
  for (int i = 0; i < n_repetitions; ++i) {
    alignas(64) std::atomic<int> n_arrived{0};
    const std::int64_t ns = time_threads(n_threads, [&](int) {
      for (int round = 1; round <= kRounds; ++round) {
        n_arrived.fetch_add(1, std::memory_order_acq_rel);
        // Yield, so that a thread that has lost its CPU does not keep the others waiting for the rest of their time
        // slice.
        for (int spins = 0; n_arrived.load(std::memory_order_acquire) < round * n_threads; ++spins) {
          if (spins > 10'000) std::this_thread::yield();
        }
      }
      return 0.0F;
    });
    ns_per_round.push_back(static_cast<double>(ns) / kRounds);
  }
  std::ranges::sort(ns_per_round);
  return {.best = ns_per_round.front(), .median = ns_per_round[ns_per_round.size() / 2]};
}

constexpr std::size_t kSmallestRead = std::size_t{256} << 10;
constexpr std::size_t kLargestRead = std::size_t{256} << 20;
// Least number of bytes read per timing, so that the time to start the threads is negligible.
constexpr std::size_t kBytesPerTiming = std::size_t{64} << 20;
constexpr int kRunLimitRepetitions = 3;
// Measurements are repeated while other processes have the CPUs; one undisturbed moment is enough.
constexpr int kMostRemeasurements = 3;

std::vector<ReadLimit> measure_read_ladder(const LimitLoops& loops, std::span<const std::byte> bytes, int n_threads,
                                           CpuShare& share) {
  std::vector<ReadLimit> ladder;
  for (std::size_t size = kSmallestRead; size <= bytes.size(); size *= 2) {
    const std::size_t part = size / static_cast<std::size_t>(n_threads) / 256 * 256;
    if (part == 0) continue;
    const std::size_t n_passes = std::max<std::size_t>(1, kBytesPerTiming / size);
    double best = 0;
    // The first timing also loads the buffer into the cache in which it fits.
    for (int repetition = 0; repetition < kRunLimitRepetitions; ++repetition) {
      const std::int64_t ns = time_threads(
          n_threads,
          [&](int thread) {
            float sum = 0;
            for (std::size_t pass = 0; pass < n_passes; ++pass) {
              sum += loops.read(bytes.data() + static_cast<std::size_t>(thread) * part, part);
            }
            return sum;
          },
          &share);
      const double read = static_cast<double>(part * n_passes) * n_threads;
      best = std::max(best, 1e9 * read / static_cast<double>(std::max<std::int64_t>(1, ns)));
    }
    ladder.push_back({static_cast<std::int64_t>(size), best});
  }
  // A smaller buffer cannot be slower to read, so a lower rate for it is noise.
  for (std::size_t index = ladder.size(); index-- > 1;) {
    ladder[index - 1].bytes_per_s = std::max(ladder[index - 1].bytes_per_s, ladder[index].bytes_per_s);
  }
  return ladder;
}

Result<RunLimits> run_limits_here(std::int32_t n_threads) {
  const LimitLoops loops = best_limit_loops();
  CpuShare share;
  RunLimits limits;
  limits.n_threads = n_threads > 0 ? n_threads : available_cpus();
  limits.instruction_set = loops.instruction_set;
  MemoryAccount account;
  SS_TRY(const HostBuffer buffer, make_touched_buffer(account, kLargestRead, HugePages::kAdvise));
  limits.reads = measure_read_ladder(loops, buffer.as<const std::byte>(), limits.n_threads, share);
  const auto peak = [&](const LimitLoop& loop) {
    return measure_compute(loop, limits.n_threads, kRunLimitRepetitions, &share).best;
  };
  limits.f32_flops = peak(loops.f32);
  if (loops.bf16.run != nullptr) limits.bf16_flops = peak(loops.bf16);
  if (loops.int8.run != nullptr) limits.int8_ops = peak(loops.int8);
  limits.disturbed = std::max(
      0.0, 1 - static_cast<double>(share.cpu_ns) / static_cast<double>(std::max<std::int64_t>(1, share.wall_ns)));
  return limits;
}

}  // namespace

Result<RunLimits> measure_run_limits(std::int32_t n_threads, const std::vector<std::int32_t>& cpus,
                                     const HostFiles& files) {
  Result<RunLimits> limits = RunLimits();
  on_cpus(cpus, [&] {
    limits = run_limits_here(n_threads);
    for (int n_more = 0; limits && limits->disturbed > kLimitsDisturbed && n_more < kMostRemeasurements; ++n_more) {
      const Result<RunLimits> again = run_limits_here(n_threads);
      if (again) limits = highest_of(*limits, *again);
    }
  });
  const Result<std::string> cpuinfo = files.read("proc/cpuinfo");
  if (limits && cpuinfo && cpuinfo->find("amx_tile") != std::string::npos) limits->unmeasured = "AMX";
  return limits;
}

RunLimits highest_of(const RunLimits& a, const RunLimits& b) {
  RunLimits highest = a;
  for (std::size_t index = 0; index < std::min(a.reads.size(), b.reads.size()); ++index) {
    highest.reads[index].bytes_per_s = std::max(a.reads[index].bytes_per_s, b.reads[index].bytes_per_s);
  }
  highest.f32_flops = std::max(a.f32_flops, b.f32_flops);
  if (b.bf16_flops) highest.bf16_flops = std::max(a.bf16_flops.value_or(0), *b.bf16_flops);
  if (b.int8_ops) highest.int8_ops = std::max(a.int8_ops.value_or(0), *b.int8_ops);
  highest.disturbed = std::min(a.disturbed, b.disturbed);
  return highest;
}

Result<MachineLimits> measure_machine_limits(const MachineLimitsOptions& options) {
  constexpr std::size_t kMinBytes = std::size_t{1} << 20;
  if (options.n_threads < 0 || options.n_repetitions < 1 || options.buffer_bytes < kMinBytes) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("machine limits: expected threads >= 0, repetitions >= 1 and at least {} bytes, found {}, {} "
                    "and {}",
                    kMinBytes, options.n_threads, options.n_repetitions, options.buffer_bytes)};
  }
  const LimitLoops loops = best_limit_loops();
  MachineLimits limits;
  limits.n_threads = options.n_threads > 0 ? options.n_threads : available_cpus();
  limits.instruction_set = loops.instruction_set;
  limits.buffer_bytes = round_up(options.buffer_bytes, std::size_t{1} << 20);
  MemoryAccount account;
  {
    SS_TRY(const HostBuffer small, make_touched_buffer(account, limits.buffer_bytes, HugePages::kNo));
    limits.read_1_small = measure_read(loops, small.as<const std::byte>(), 1, options.n_repetitions);
    limits.read_all_small = measure_read(loops, small.as<const std::byte>(), limits.n_threads, options.n_repetitions);
  }
  {
    SS_TRY(const HostBuffer huge, make_touched_buffer(account, limits.buffer_bytes, HugePages::kAdvise));
    limits.read_1_huge = measure_read(loops, huge.as<const std::byte>(), 1, options.n_repetitions);
    limits.read_all_huge = measure_read(loops, huge.as<const std::byte>(), limits.n_threads, options.n_repetitions);
    limits.read_huge.push_back({1, limits.read_1_huge});
    for (int n_threads = 2; n_threads < limits.n_threads; n_threads *= 2) {
      limits.read_huge.push_back(
          {n_threads, measure_read(loops, huge.as<const std::byte>(), n_threads, options.n_repetitions)});
    }
    if (limits.n_threads > 1) limits.read_huge.push_back({limits.n_threads, limits.read_all_huge});
    CpuShare share;
    const std::size_t largest = std::min(kLargestRead, huge.size_bytes());
    limits.read_sizes = measure_read_ladder(loops, huge.as<const std::byte>().first(largest), limits.n_threads, share);
  }
  if (const auto file = MappedFile::make(limits.buffer_bytes)) {
    limits.read_1_mapped = measure_read(loops, file->bytes(), 1, options.n_repetitions);
    limits.read_all_mapped = measure_read(loops, file->bytes(), limits.n_threads, options.n_repetitions);
  }
  if (limits.n_threads > 1) limits.barrier_ns = measure_barrier(limits.n_threads, options.n_repetitions);
  limits.f32_1 = measure_compute(loops.f32, 1, options.n_repetitions);
  limits.f32_all = measure_compute(loops.f32, limits.n_threads, options.n_repetitions);
  if (loops.bf16.run != nullptr) {
    limits.bf16_1 = measure_compute(loops.bf16, 1, options.n_repetitions);
    limits.bf16_all = measure_compute(loops.bf16, limits.n_threads, options.n_repetitions);
  }
  if (loops.int8.run != nullptr) {
    limits.int8_1 = measure_compute(loops.int8, 1, options.n_repetitions);
    limits.int8_all = measure_compute(loops.int8, limits.n_threads, options.n_repetitions);
  }
  return limits;
}

}  // namespace secondsource
