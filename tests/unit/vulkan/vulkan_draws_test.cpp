// Compares Vulkan's sampling kernels, which compute masses without f64, with the plain f64 implementation of the rule in draws.h.

#include "unit/gpu/draws.h"
#include "unit/vulkan/opened_device.h"
#include "vulkan/launchers.h"

using namespace secondsource;
using secondsource::vulkan::test::opened_device;

TEST_CASE("a draw on Vulkan takes the token that the rule gives, whatever the logits look like") {
  if (!opened_device()) return;
  gpu::test::check_draws([] { return opened_device(); }, vulkan::kernel_table());
}
