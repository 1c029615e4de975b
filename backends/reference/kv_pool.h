#pragma once
// The oracle's cache: f32 in memory, with exactly the values that a cache of the spec's type would return.

#include "backend_kit/host_kv_pool.h"

namespace secondsource::reference {

class KvPool : public HostKvPool<float> {
 public:
  /// Any type that check_kv_spec allows. Errors: kInvalidInput, kOutOfMemory.
  static Result<KvPool> create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages);

  /// Rounds the keys or values of one token and head as the cache's type stores them (docs/correctness.md).
  void round(std::span<float> row) const;

 private:
  KvPool(HostKvPool<float> pool, DType stored) : HostKvPool<float>(std::move(pool)), stored_(stored) {}

  DType stored_ = DType::kF32;
};

}  // namespace secondsource::reference
