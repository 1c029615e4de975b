#pragma once
// A kernel in SPIR-V, and how launchers start it: with its parameters as one plain struct (kernels/parameters.h).

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>

#include "gpu/device.h"
#include "gpu/kernels/kernels.h"

namespace secondsource::vulkan {

/// A kernel and the values of its specialization constants, whose ids are 0, 1, ... All are 32-bit words.
struct Kernel {
  static constexpr std::size_t kMaxConstants = 8;
  std::span<const std::uint32_t> code;
  std::array<std::uint32_t, kMaxConstants> constants = {};
  bool has_full_subgroups = false;  ///< the kernel relies on every subgroup having all its threads

  Kernel(std::span<const std::uint32_t> words, std::initializer_list<std::int32_t> values = {}) : code(words) {
    std::size_t i = 0;
    for (const std::int32_t value : values) constants.at(i++) = static_cast<std::uint32_t>(value);
  }
};

/// Launches a grid of workgroups, whose number of threads the kernel's code declares. `name`: static text, for messages. An empty grid
/// launches nothing.
template <typename Parameters>
Result<void> launch(const gpu::LaunchContext& context, const char* name, const Kernel& kernel, const gpu::Dim3& grid,
                    const Parameters& parameters) {
  static_assert(std::is_trivially_copyable_v<Parameters>);
  return context.stream.launch({.name = name,
                                .function = &kernel,
                                .shape = {.grid = grid},
                                .argument = &parameters,
                                .argument_bytes = sizeof(Parameters)});
}

/// An address as kernels/parameters.h has it.
[[nodiscard]] inline std::uint64_t address(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

}  // namespace secondsource::vulkan
