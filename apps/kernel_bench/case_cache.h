#pragma once
// Keeps prepared and verified cases, so that a case which runs several times, in any order, is prepared and verified
// once. Google Benchmark calls a benchmark again for each repetition, and --benchmark_enable_random_interleaving mixes
// the repetitions of all benchmarks.

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "harness.h"
#include "host/host_files.h"

namespace secondsource::kernel_bench {

/// The cases of one memory: the host's, or a device's. Their backends together may use `budget_bytes`; beyond that the
/// least recently used backend is dropped with all of its cases, before and after a case is prepared. So the highest use
/// is the budget and the largest single backend; a case larger than the budget is kept while it is the only one.
class CaseCache {
 public:
  using Prepare = std::function<Result<std::unique_ptr<PreparedCase>>()>;

  explicit CaseCache(std::int64_t budget_bytes) : budget_bytes_(budget_bytes) {}

  /// The case of this name, valid until the next call. `prepare` runs at the first use, and again after the case was
  /// dropped. A failure is kept as well: it is returned at each use, and `prepare` does not run again.
  Result<PreparedCase*> find_or_prepare(const std::string& name, const Prepare& prepare);

  [[nodiscard]] std::int64_t budget_bytes() const { return budget_bytes_; }
  [[nodiscard]] int n_prepared_again() const { return n_prepared_again_; }  ///< because they had been dropped
  [[nodiscard]] int n_wrong() const;  ///< cases whose results were wrong (kInternal)

 private:
  struct Entry {
    std::string name;
    std::unique_ptr<PreparedCase> prepared;
  };

  [[nodiscard]] std::int64_t used_bytes() const;
  /// The backend whose latest use is the longest ago; null without entries.
  [[nodiscard]] const Backend* least_recently_used() const;
  /// Drops backends until the rest is within the budget, but never `keep`.
  void drop_excess(const Backend* keep);

  std::int64_t budget_bytes_;
  std::list<Entry> entries_;  ///< most recently used first
  std::map<std::string, Error> failures_;
  std::set<std::string> prepared_names_;  ///< of all cases that were ever prepared
  int n_prepared_again_ = 0;
};

/// Half of the memory that is free when the program starts: of a device its whole memory, of the host what it has
/// available (/proc/meminfo), at most the limit of the control group.
[[nodiscard]] std::int64_t default_case_budget(const DeviceInfo& device, const HostFiles& files);

}  // namespace secondsource::kernel_bench
