#include "gpu/kernels/launchers.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

const KernelTable& kernel_table() {
  static constexpr KernelTable table{.embed = launch_embed,
                                     .rms_norm = launch_rms_norm,
                                     .select_rows = launch_select_rows,
                                     .select_columns = launch_select_columns,
                                     .quantize_rows = launch_quantize_rows,
                                     .narrow_rows = launch_narrow_rows,
                                     .matmul = launch_matmul,
                                     .cluster_matmul = launch_cluster_matmul,
                                     .finish_product = launch_finish_product,
                                     .rope_append = launch_rope_append,
                                     .latent_append = launch_latent_append,
                                     .head_matmul = launch_head_matmul,
                                     .attention = launch_attention,
                                     .sample = launch_sample,
                                     .route = launch_route,
                                     .grouped_matmul = launch_grouped_matmul,
                                     .read_memory = launch_read_memory,
                                     .compute = launch_compute};
  return table;
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
