#include "reference/kv_pool.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "backend/check_kv.h"
#include "core/half.h"

namespace secondsource::reference {
namespace {

void round_to_int8(std::span<float> row) {
  float abs_max = 0.0F;
  for (const float x : row) {
    if (std::isnan(x) || std::fabs(x) > abs_max) abs_max = std::fabs(x);
    if (std::isnan(abs_max)) break;
  }
  const float scale = abs_max / 127.0F;
  for (float& x : row) {
    // An infinite or NaN scale makes every value NaN.
    x = scale == 0.0F ? 0.0F : scale * std::clamp(std::nearbyint(x / scale), -127.0F, 127.0F);
  }
}

}  // namespace

Result<KvPool> KvPool::create(MemoryAccount& account, const KvSpec& spec, std::int64_t n_pages) {
  SS_TRY_VOID(check_kv_spec(spec, n_pages));
  KvSpec in_memory = spec;
  in_memory.dtype = DType::kF32;
  SS_TRY(HostKvPool<float> pool, HostKvPool<float>::create(account, in_memory, n_pages));
  return KvPool(std::move(pool), spec.dtype);
}

void KvPool::round(std::span<float> row) const {
  switch (stored_) {
    case DType::kBf16:
      for (float& x : row) x = round_to_bf16(x);
      return;
    case DType::kF16:
      for (float& x : row) x = to_float(to_f16(x));
      return;
    case DType::kI8:
      return round_to_int8(row);
    default:
      return;
  }
}

}  // namespace secondsource::reference
