#pragma once
// The matrix units of a device, which kernels use through VK_KHR_cooperative_matrix.

#include <cstdint>
#include <string>
#include <vector>

#include "vulkan/vulkan_api.h"

namespace secondsource::vulkan {

/// One instruction's product: [n_rows, depth] x [depth, n_cols], by a subgroup.
struct MatrixShape {
  std::int32_t n_rows = 0;
  std::int32_t n_cols = 0;
  std::int32_t depth = 0;
};

/// What the kernels use. Either both shapes are there, with the same sides, or none.
struct CooperativeMatrices {
  MatrixShape f16;                  ///< FP16 operands, f32 sums
  MatrixShape int8;                 ///< int8 operands, int32 sums
  std::int32_t subgroup_size = 32;  ///< threads of a subgroup
  [[nodiscard]] bool exist() const { return f16.n_rows > 0; }
};

/// The matrices of a device with subgroups of this size. None if the device lacks anything else that the kernels need: Vulkan 1.3 with FP16
/// arithmetic, conversions to FP16 that round to nearest even, full subgroups and the Vulkan memory model. None, too, if this program was
/// built without the kernels, since glslc or the headers did not know the extension.
[[nodiscard]] CooperativeMatrices find_matrices(VkInstance instance, VkPhysicalDevice device,
                                                const VkPhysicalDeviceProperties& properties,
                                                std::uint32_t subgroup_size,
                                                const std::vector<VkExtensionProperties>& extensions);

/// "f16 16x16x16, int8 16x16x32" for the fingerprint of a run; "none".
[[nodiscard]] std::string to_text(const CooperativeMatrices& matrices);

/// The name of the extension, to be enabled where there are matrices; null without the kernels.
[[nodiscard]] const char* matrix_extension();

/// The features to be enabled where there are matrices, besides VkPhysicalDeviceVulkan12Features, as a chain that `next()` begins.
class MatrixFeatures {
 public:
  MatrixFeatures();
  MatrixFeatures(const MatrixFeatures&) = delete;
  MatrixFeatures& operator=(const MatrixFeatures&) = delete;
  [[nodiscard]] void* next() { return &subgroups_; }

 private:
  VkPhysicalDeviceSubgroupSizeControlFeatures subgroups_{};
#ifdef VK_KHR_cooperative_matrix
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrices_{};
#endif
};

}  // namespace secondsource::vulkan
