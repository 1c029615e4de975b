#pragma once
// The options of the cpu backend, parsed from BackendOptions.

#include <vector>

#include "backend/backend.h"
#include "cpu/cpu_features.h"
#include "cpu/product_choice.h"

namespace secondsource::cpu {

struct Options {
  Isa isa = Isa::kScalar;
  ProductChoice products;
  int n_threads = 1;
  std::vector<std::int32_t> cpus;
  DType kv_dtype = DType::kBf16;  ///< type of the cache; DeviceInfo::kv_dtype
  bool guards = false;            ///< EagerOptions::guards
  bool weight_cache = false;      ///< keep packed weights in the user's cache folder
};

/// Extra options: isa=NAME, products=f32|bf16|LIST, kv=bf16|f16|int8|f32, guards=0|1, weight_cache=0|1. Errors: kInvalidInput,
/// kUnavailable.
[[nodiscard]] Result<Options> parse_options(const BackendOptions& options);

}  // namespace secondsource::cpu
