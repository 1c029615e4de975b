#include "ab/timed_bundle.h"

#include <fstream>

#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("the smallest variant decides whether weights fit a cache") {
  ModelConfig config;
  config.dim = 1024;
  config.ffn_dim = 3072;
  config.n_layers = 4;
  config.n_heads = 16;
  config.n_kv_heads = 4;
  config.head_dim = 64;
  config.vocab_size = 8192;
  // Computed by hand: 4 layers of 1024 * (2 * 1024 + 2 * 256) + 3 * 1024 * 3072 weights and a head of 1024 * 8192 are
  // 56.6 million.
  CHECK(weight_bytes(config, {"bf16"}) == 2 * 56623104);
  CHECK(weight_bytes(config, {"bf16", "int8"}) == 56623104);
  CHECK(is_too_large_for(std::int64_t{32} << 20, weight_bytes(config, {"bf16"})));
  CHECK_FALSE(is_too_large_for(std::int64_t{32} << 20, weight_bytes(config, {"int8"})));
  // A bundle that fits the cache is replaced by a synthesized one for timing, which has no published variants like fp8-static.
  constexpr std::int64_t kCache = std::int64_t{32} << 20;
  REQUIRE_OK(check_timed_variants(config, "models/b", {"bf16", "int8"}, kCache));
  REQUIRE_OK(check_timed_variants(config, "models/b", {"fp8-static"}, kCache / 2));
  CHECK_ERROR(check_timed_variants(config, "models/b", {"bf16", "fp8-static"}, kCache), ErrorCode::kInvalidInput,
              "variant fp8-static: this bundle is too small to be timed beside a last-level cache of 32.0 MiB");
  CHECK_ERROR(check_timed_variants(config, "models/b", {"fp8-static"}, kCache), ErrorCode::kInvalidInput,
              "expected --timed-bundle models/b, or --variant without it");
}
