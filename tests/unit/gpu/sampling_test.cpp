// Compares the sampling kernels on the shim with the plain implementation of the sampling rule in draws.h.

#include "gpu/kernels/tables.h"
#include "gpu/shim/device.h"
#include "unit/gpu/draws.h"

using namespace secondsource;
using namespace secondsource::gpu;
using namespace secondsource::gpu::test;

namespace {

std::unique_ptr<Device> shim_as(const std::string& target) {
  return shim::make_shim_device({.target = target, .order = shim::ThreadOrder::kSeeded});
}

}  // namespace

TEST_CASE("a draw takes the token that the rule gives, whatever the logits look like") {
  check_draws([] { return shim_as("sm_80"); }, shim_sm_80::kernel_table());
}

TEST_CASE("a draw by waves of 64 takes the same token") {
  const std::vector<float> logits = bell(9001, 5, 3);
  std::vector<SampleRow> rows;
  for (std::uint64_t i = 0; i < 12; ++i) {
    rows.push_back({.uniform = random_unit(3, i), .temperature = 1.0F, .top_p = 0.95F, .top_k = i % 2 == 0 ? 50 : 0});
  }
  const std::vector<SampledRow> found = sampled_rows(shim_as("gfx90a"), shim_gfx90a::kernel_table(), logits, rows);
  for (std::size_t row = 0; row < rows.size(); ++row) CHECK(found[row].id == token_of(logits, rows[row]));
}

TEST_CASE("where every token is forbidden there is none") {
  const std::vector<SampledRow> found =
      sampled_rows(shim_as("sm_80"), shim_sm_80::kernel_table(), {1.0F}, {{.temperature = 1.0F, .forbidden_id = 0}});
  CHECK(found[0].id == -1);
}
