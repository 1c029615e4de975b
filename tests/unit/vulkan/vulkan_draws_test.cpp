// The sampling kernels of Vulkan, which compute masses without f64, beside the rule of draws written out plainly in f64 (draws.h).

#include "unit/gpu/draws.h"
#include "unit/vulkan/opened_device.h"
#include "vulkan/launchers.h"

using namespace secondsource;
using secondsource::vulkan::test::opened_device;

TEST_CASE("a draw on Vulkan takes the token that the rule gives, whatever the logits look like") {
  if (!opened_device()) return;
  gpu::test::check_draws([] { return opened_device(); }, vulkan::kernel_table());
}
