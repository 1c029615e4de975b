#include "vulkan/pipelines.h"

#include <string>

namespace secondsource::vulkan {

Result<Pipelines> Pipelines::create(VkDevice device) {
  Pipelines pipelines;
  pipelines.device_ = device;
  const VkPushConstantRange address{
      .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .offset = 0, .size = sizeof(VkDeviceAddress)};
  auto info = make<VkPipelineLayoutCreateInfo>(VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO);
  info.pushConstantRangeCount = 1;
  info.pPushConstantRanges = &address;
  SS_TRY(pipelines.layout_,
         created<OwnedPipelineLayout>(device, vkCreatePipelineLayout, info, "vkCreatePipelineLayout"));
  return pipelines;
}

Result<VkPipeline> Pipelines::find(const Kernel& kernel, const char* name) {
  const Key key{kernel.code.data(), kernel.constants};
  if (const auto found = pipelines_.find(key); found != pipelines_.end()) return found->second.get();

  auto module_info = make<VkShaderModuleCreateInfo>(VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO);
  module_info.codeSize = kernel.code.size_bytes();
  module_info.pCode = kernel.code.data();
  SS_TRY(const OwnedShaderModule module,
         created<OwnedShaderModule>(device_, vkCreateShaderModule, module_info, "vkCreateShaderModule"));
  std::array<VkSpecializationMapEntry, Kernel::kMaxConstants> entries{};
  for (std::uint32_t i = 0; i < entries.size(); ++i) {
    entries.at(i) = {.constantID = i, .offset = i * 4, .size = sizeof(std::uint32_t)};
  }
  const VkSpecializationInfo constants{.mapEntryCount = static_cast<std::uint32_t>(entries.size()),
                                       .pMapEntries = entries.data(),
                                       .dataSize = sizeof(kernel.constants),
                                       .pData = kernel.constants.data()};
  auto info = make<VkComputePipelineCreateInfo>(VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO);
  info.layout = layout_.get();
  info.stage = make<VkPipelineShaderStageCreateInfo>(VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO);
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module.get();
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &constants;
  if (kernel.has_full_subgroups) info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
  VkPipeline pipeline = VK_NULL_HANDLE;
  if (auto made = check(vkCreateComputePipelines(device_, VK_NULL_HANDLE, 1, &info, nullptr, &pipeline),
                        "vkCreateComputePipelines");
      !made) {
    return made.error().with_context(std::string("kernel ") + name);
  }
  pipelines_.emplace(key, OwnedPipeline(device_, pipeline));
  return pipeline;
}

}  // namespace secondsource::vulkan
