#include "host/limit_details.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <thread>
#include <utility>

#include "backend_kit/host_device.h"
#include "backend_kit/host_memory.h"
#include "core/checked.h"
#include "host/limit_loops.h"

namespace secondsource {
namespace {

/// A temporary file without a name, mapped with all pages present, so that reading it costs neither a fault nor the
/// disk. (MappedFile of core/file.h maps named files whose pages are read on demand.)
class PageCacheFile {
 public:
  /// Makes the file; nullopt if the system cannot.
  static std::optional<PageCacheFile> make(std::size_t bytes) {
    std::error_code failed;
    const std::filesystem::path folder = std::filesystem::temp_directory_path(failed);
    if (failed) return std::nullopt;
    std::string name = (folder / "secondsource-limits-XXXXXX").string();
    const int file = ::mkstemp(name.data());
    if (file < 0) return std::nullopt;
    ::unlink(name.c_str());
    const std::vector<std::byte> chunk(std::size_t{1} << 20, std::byte{1});
    bool complete = true;
    for (std::size_t at = 0; complete && at < bytes; at += chunk.size()) {
      const std::size_t size = std::min(chunk.size(), bytes - at);
      complete = ::write(file, chunk.data(), size) == static_cast<ssize_t>(size);
    }
    void* const begin = complete ? ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0) : MAP_FAILED;
    ::close(file);
    if (begin == MAP_FAILED) return std::nullopt;
    return PageCacheFile({static_cast<const std::byte*>(begin), bytes});
  }
  PageCacheFile(PageCacheFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  PageCacheFile& operator=(PageCacheFile&&) = delete;
  ~PageCacheFile() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit PageCacheFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

/// Time per round of a barrier that counts arrivals and spins.
LimitSamples measure_barrier(int n_threads, int n_repetitions) {
  constexpr int kRounds = 20'000;
  std::vector<double> ns_per_round;
  for (int i = 0; i < n_repetitions; ++i) {
    alignas(64) std::atomic<int> n_arrived{0};
    const std::int64_t ns = time_threads(n_threads, [&](int) {
      for (int round = 1; round <= kRounds; ++round) {
        n_arrived.fetch_add(1, std::memory_order_acq_rel);
        // Yield, so that a thread which has lost its CPU gets one before the others' time slices end.
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

/// 1, 2, 4, ... and all threads.
std::vector<int> thread_counts(int n_threads) {
  std::vector<int> counts;
  for (int count = 1; count < n_threads; count *= 2) counts.push_back(count);
  counts.push_back(n_threads);
  return counts;
}

}  // namespace

Result<LimitDetails> measure_limit_details(const LimitDetailsOptions& options) {
  constexpr std::size_t kMinBytes = std::size_t{1} << 20;
  if (options.n_threads < 0 || options.n_repetitions < 1 || options.buffer_bytes < kMinBytes) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("machine limits: expected threads >= 0, repetitions >= 1 and at least {} bytes, found {}, {} "
                    "and {}",
                    kMinBytes, options.n_threads, options.n_repetitions, options.buffer_bytes)};
  }
  const LimitLoops loops = best_limit_loops();
  const int n_threads = options.n_threads > 0 ? options.n_threads : n_usable_cpus();
  LimitDetails details;
  details.buffer_bytes = round_up(options.buffer_bytes, std::size_t{1} << 20);
  const auto add_reads = [&](const char* name, std::span<const std::byte> bytes) {
    for (const int count : thread_counts(n_threads)) {
      details.rates.push_back({name, count, measure_read(loops, bytes, count, options.n_repetitions)});
    }
  };
  MemoryAccount account;
  {
    SS_TRY(const HostBuffer small, make_touched_buffer(account, details.buffer_bytes, HugePages::kNo));
    add_reads("read, small pages", small.as<const std::byte>());
  }
  {
    SS_TRY(const HostBuffer huge, make_touched_buffer(account, details.buffer_bytes, HugePages::kAdvise));
    add_reads("read, huge pages", huge.as<const std::byte>());
  }
  const auto file = PageCacheFile::make(details.buffer_bytes);
  details.has_mapped_file = file.has_value();
  if (file) add_reads("read, mapped file", file->bytes());
  if (n_threads > 1) details.barrier_ns = measure_barrier(n_threads, options.n_repetitions);
  const auto add_operations = [&](const char* name, const LimitLoop& loop) {
    details.rates.push_back({name, 1, measure_compute(loop, 1, options.n_repetitions)});
    if (n_threads > 1)
      details.rates.push_back({name, n_threads, measure_compute(loop, n_threads, options.n_repetitions)});
  };
  add_operations("f32 multiply-adds", loops.f32);
  for (const auto* const of_type : {&loops.bf16, &loops.int8, &loops.int4, &loops.others}) {
    for (const InstructionLoop& one : *of_type) add_operations(one.name, one.loop);
  }
  return details;
}

}  // namespace secondsource
