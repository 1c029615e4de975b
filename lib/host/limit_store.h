#pragma once
// Keeps what all processes of this user measured of a host's limits. Each of them may be disturbed, so that the best of
// all looks is closer to the limit than the look of one process.
//
//   LimitStore store = LimitStore::for_host(cache_folder(), host_fingerprint(HostFiles()), n_threads, cpus);
//   SS_TRY_VOID(store.add(look));
//   store.looks().best

#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/result.h"
#include "record/machine_limits.h"
#include "record/run_record.h"

namespace secondsource {

class LimitStore {
 public:
  /// Opens the looks at this host with these threads and CPUs: CACHE/limits/KEY.jsonl, where the key is a hash of the
  /// facts that decide how fast the host is, and each line is one look. `known` are looks that may not be in the file.
  /// Without a cache folder nothing is kept beyond this object. Lines that are damaged are left out, since all that is
  /// lost with a line is one look.
  static LimitStore for_host(const Result<std::filesystem::path>& cache, const std::vector<HostFact>& host,
                             std::int32_t n_threads, const std::vector<std::int32_t>& cpus,
                             const LimitLooks& known = {});

  [[nodiscard]] const LimitLooks& looks() const noexcept { return looks_; }
  /// Adds a look, and appends it to the file if it is higher than one of the two best looks in some limit. Errors: kIo,
  /// kInvalidInput if it could not be stored; looks() includes it anyway.
  Result<void> add(const MachineLimits& look);

 private:
  std::filesystem::path file_;  ///< empty without a cache folder
  LimitLooks looks_;
};

/// CACHE/limits, the folder of all hosts' files.
[[nodiscard]] std::filesystem::path limits_folder(const std::filesystem::path& cache);

}  // namespace secondsource
