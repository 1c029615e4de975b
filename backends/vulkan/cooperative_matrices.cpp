#include "vulkan/cooperative_matrices.h"

#include <fmt/format.h>

namespace secondsource::vulkan {

#ifdef SECONDSOURCE_VULKAN_MATRICES
namespace {

/// Threads of a workgroup that computes tiles (kernels/matrix_tile.glsl).
constexpr std::uint32_t kThreads = 256;
/// With smaller subgroups a workgroup would have more of them than a tile has matrices for.
constexpr std::uint32_t kSmallestSubgroup = 8;

bool has_features(VkPhysicalDevice device) {
  auto matrices = make<VkPhysicalDeviceCooperativeMatrixFeaturesKHR>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR);
  auto subgroups = make<VkPhysicalDeviceSubgroupSizeControlFeatures>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES);
  auto of_12 = make<VkPhysicalDeviceVulkan12Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES);
  auto features = make<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2);
  features.pNext = &of_12;
  of_12.pNext = &subgroups;
  subgroups.pNext = &matrices;
  vkGetPhysicalDeviceFeatures2(device, &features);
  return matrices.cooperativeMatrix == VK_TRUE && subgroups.computeFullSubgroups == VK_TRUE &&
         of_12.shaderFloat16 == VK_TRUE && of_12.vulkanMemoryModel == VK_TRUE;
}

bool rounds_to_nearest(VkPhysicalDevice device) {
  auto of_12 = make<VkPhysicalDeviceVulkan12Properties>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES);
  auto properties = make<VkPhysicalDeviceProperties2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2);
  properties.pNext = &of_12;
  vkGetPhysicalDeviceProperties2(device, &properties);
  return of_12.shaderRoundingModeRTEFloat16 == VK_TRUE;
}

/// Whether the tiles, whose sides are multiples of 16 and whose steps have 32 columns of K, can be divided into these matrices.
bool divides_tiles(const VkCooperativeMatrixPropertiesKHR& one) {
  const auto is_side = [](std::uint32_t n) { return n == 8 || n == 16; };
  return is_side(one.MSize) && is_side(one.NSize) && (is_side(one.KSize) || one.KSize == 32);
}

/// The listed shapes with these types.
std::vector<MatrixShape> shapes_with(const std::vector<VkCooperativeMatrixPropertiesKHR>& listed,
                                     VkComponentTypeKHR operand, VkComponentTypeKHR sum) {
  std::vector<MatrixShape> shapes;
  for (const VkCooperativeMatrixPropertiesKHR& one : listed) {
    if (one.AType != operand || one.BType != operand || one.CType != sum || one.ResultType != sum) continue;
    if (one.scope != VK_SCOPE_SUBGROUP_KHR || one.saturatingAccumulation == VK_TRUE || !divides_tiles(one)) continue;
    shapes.push_back({.n_rows = static_cast<std::int32_t>(one.MSize),
                      .n_cols = static_cast<std::int32_t>(one.NSize),
                      .depth = static_cast<std::int32_t>(one.KSize)});
  }
  return shapes;
}

/// The largest shapes of both types that have the same sides; none if there are none. int8 kernels scale the sums of groups of columns in
/// matrices of f32, whose sides are those of an FP16 product.
CooperativeMatrices largest_of(const std::vector<MatrixShape>& f16, const std::vector<MatrixShape>& int8) {
  const auto size = [](const MatrixShape& of) { return of.n_rows * of.n_cols * of.depth; };
  CooperativeMatrices best;
  for (const MatrixShape& a : f16) {
    for (const MatrixShape& b : int8) {
      if (a.n_rows != b.n_rows || a.n_cols != b.n_cols) continue;
      if (size(a) > size(best.f16) || (size(a) == size(best.f16) && size(b) > size(best.int8))) {
        best.f16 = a;
        best.int8 = b;
      }
    }
  }
  return best;
}

}  // namespace

CooperativeMatrices find_matrices(VkInstance instance, VkPhysicalDevice device,
                                  const VkPhysicalDeviceProperties& properties, std::uint32_t subgroup_size,
                                  const std::vector<VkExtensionProperties>& extensions) {
  if (!has_extension(extensions, matrix_extension()) || properties.apiVersion < VK_API_VERSION_1_3) return {};
  if (subgroup_size < kSmallestSubgroup || kThreads % subgroup_size != 0) return {};
  const auto list = reinterpret_cast<PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR>(
      vkGetInstanceProcAddr(instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"));
  if (list == nullptr || !has_features(device) || !rounds_to_nearest(device)) return {};
  std::uint32_t n = 0;
  if (list(device, &n, nullptr) != VK_SUCCESS) return {};
  std::vector<VkCooperativeMatrixPropertiesKHR> listed(
      n, make<VkCooperativeMatrixPropertiesKHR>(VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR));
  if (list(device, &n, listed.data()) != VK_SUCCESS) return {};
  CooperativeMatrices found =
      largest_of(shapes_with(listed, VK_COMPONENT_TYPE_FLOAT16_KHR, VK_COMPONENT_TYPE_FLOAT32_KHR),
                 shapes_with(listed, VK_COMPONENT_TYPE_SINT8_KHR, VK_COMPONENT_TYPE_SINT32_KHR));
  found.subgroup_size = static_cast<std::int32_t>(subgroup_size);
  return found;
}

const char* matrix_extension() {
  return VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
}

#else

CooperativeMatrices find_matrices(VkInstance /*instance*/, VkPhysicalDevice /*device*/,
                                  const VkPhysicalDeviceProperties& /*properties*/, std::uint32_t /*subgroup_size*/,
                                  const std::vector<VkExtensionProperties>& /*extensions*/) {
  return {};
}

const char* matrix_extension() {
  return nullptr;
}

#endif

std::string to_text(const CooperativeMatrices& matrices) {
  if (!matrices.exist()) return "none";
  const auto text = [](const MatrixShape& shape) {
    return fmt::format("{}x{}x{}", shape.n_rows, shape.n_cols, shape.depth);
  };
  return fmt::format("f16 {}, int8 {}", text(matrices.f16), text(matrices.int8));
}

MatrixFeatures::MatrixFeatures() {
  subgroups_.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES;
  subgroups_.computeFullSubgroups = VK_TRUE;
#ifdef VK_KHR_cooperative_matrix
  matrices_.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
  matrices_.cooperativeMatrix = VK_TRUE;
  subgroups_.pNext = &matrices_;
#endif
}

}  // namespace secondsource::vulkan
