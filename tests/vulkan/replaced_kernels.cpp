// A library for LD_PRELOAD that stands between the backend `vulkan` and the Vulkan loader and replaces kernels, so that bugs can be planted
// in them without another build of the module.
//
// The environment variable SECONDSOURCE_REPLACED_KERNELS names a folder. In it, NAME.original is the SPIR-V of a kernel as the module
// contains it, and NAME.replacement is the SPIR-V that the driver receives instead. Whenever a kernel is replaced, its name is appended to
// the file `loaded` in the folder.

#include <dlfcn.h>
#include <vulkan/vulkan.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

struct Replacement {
  std::string name;
  std::string original;
  std::vector<std::uint32_t> words;
};

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<Replacement> read_replacements(const std::filesystem::path& folder) {
  std::vector<Replacement> replacements;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::filesystem::path path = entry.path();
    if (path.extension() != ".original") continue;
    Replacement replacement{.name = path.stem(), .original = bytes_of(path), .words = {}};
    const std::string bytes = bytes_of(path.replace_extension(".replacement"));
    replacement.words.resize(bytes.size() / sizeof(std::uint32_t));
    std::copy_n(bytes.data(), replacement.words.size() * sizeof(std::uint32_t),
                reinterpret_cast<char*>(replacement.words.data()));
    replacements.push_back(std::move(replacement));
  }
  return replacements;
}

}  // namespace

#pragma GCC visibility push(default)  // the build hides what a library defines
extern "C" VKAPI_ATTR VkResult VKAPI_CALL vkCreateShaderModule(VkDevice device, const VkShaderModuleCreateInfo* info,
                                                               const VkAllocationCallbacks* allocator,
                                                               VkShaderModule* module) {
  // This library is linked with the Vulkan loader, so RTLD_NEXT finds the loader's function of this name.
  static const auto create = reinterpret_cast<PFN_vkCreateShaderModule>(::dlsym(RTLD_NEXT, "vkCreateShaderModule"));
  const char* folder = std::getenv("SECONDSOURCE_REPLACED_KERNELS");
  if (folder == nullptr) return create(device, info, allocator, module);
  static const std::vector<Replacement> replacements = read_replacements(folder);
  const std::string_view code(reinterpret_cast<const char*>(info->pCode), info->codeSize);
  const auto found = std::ranges::find(replacements, code, &Replacement::original);
  if (found == replacements.end()) return create(device, info, allocator, module);
  std::ofstream(std::filesystem::path(folder) / "loaded", std::ios::app) << found->name << std::endl;
  VkShaderModuleCreateInfo replaced = *info;
  replaced.codeSize = found->words.size() * sizeof(std::uint32_t);
  replaced.pCode = found->words.data();
  return create(device, &replaced, allocator, module);
}
#pragma GCC visibility pop
