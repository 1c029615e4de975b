#include "backend_kit/query_growth.h"

#include "support/catch.h"

namespace secondsource {
namespace {

// The factors are those of get_llama_4_attn_scale() in transformers 5.23 (modeling_ministral3.py), in FP32.
TEST_CASE("queries grow by steps, from the position at which the first period ends") {
  constexpr QueryGrowth kGrowth{.beta = 0.1F, .period = 16384};
  CHECK(query_scale(kGrowth, 0) == 1.0F);
  CHECK(query_scale(kGrowth, 16383) == 1.0F);
  CHECK(query_scale(kGrowth, 16384) == Approx(1.06931472F).epsilon(1e-7));
  CHECK(query_scale(kGrowth, 32767) == query_scale(kGrowth, 16384));
  CHECK(query_scale(kGrowth, 262143) == Approx(1.27725887F).epsilon(1e-7));
}

TEST_CASE("without a period all queries stay as they are") {
  CHECK(query_scale({.beta = 0.1F, .period = 0}, 1'000'000) == 1.0F);
  CHECK(query_scale({}, 1'000'000) == 1.0F);
}

}  // namespace
}  // namespace secondsource
