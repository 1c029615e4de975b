// What every kernel has: the extensions, addresses as typed arrays, the kernel's parameters, narrow floating-point types, and
// reductions over a workgroup. A kernel file begins with
//
//   #version 460
//   #extension GL_GOOGLE_include_directive : require
//   #include "common.glsl"
//   PARAMETERS(RmsNormParameters)     // the kernel reads them as `p`
//   layout(local_size_x = 256) in;
//
// Shared memory, subgroups: a kernel may not depend on the size of a subgroup, which has kLeastSubgroup threads or more, and takes at most
// 32 KiB of shared memory.

#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_explicit_arithmetic_types : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#ifdef MATRICES
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_spirv_intrinsics : require
#endif

#include "parameters.h"

#ifdef MATRICES_F16
// Conversions to FP16 round to nearest even (capability RoundingModeRTE, execution mode 4462), which GLSL alone does not promise.
spirv_execution_mode(capabilities = [4467], 4462, 16);
#endif

// F32(address).at[i], where i is an int: what needs 64 bits, such as the beginning of a row, is added to the address, in bytes.
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer F32 { float at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer I32 { int at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer U32 { uint at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer U16 { uint16_t at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 1) buffer U8 { uint8_t at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 1) buffer I8 { int8_t at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer F32x4 { vec4 at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer U32x4 { uvec4 at[]; };

// The parameters lie in memory; a push constant has their address.
#define PARAMETERS(Type)                                                                                 \
  layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer ParameterBlock { Type parameters; }; \
  layout(push_constant, scalar) uniform PushConstant { ParameterBlock parameter_block; };
#define p parameter_block.parameters

/// Element i of an array of f32, or 0 where its address is 0. `readable`: other memory with an element i, which is loaded from where the
/// address is 0. Mesa's driver for CPUs (26.2) also executes a load whose condition is false, if all threads load from one address, and a
/// load from address 0 ends the process.
float optional_f32(uint64_t address, uint64_t readable, int i) {
  const float value = F32(address != 0 ? address : readable).at[i];
  return address != 0 ? value : 0.0;
}

/// Rounds to the nearest BF16, ties to even; NaN stays NaN.
uint bf16_bits(float value) {
  const uint bits = floatBitsToUint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

/// 1 / power of a power of two from 2^-112 to 2^112, exactly; GLSL's `/` need not be exact.
float inverse_of_power(float power) { return uintBitsToFloat((254u << 23) - floatBitsToUint(power)); }

/// The power of two by which the numbers of a row are divided to become FP16: the largest finite one comes into [2^14, 2^15), near the
/// end of FP16's range. At least 2^-112; 1 for a row of zeros. `largest`: the bits of that number's magnitude, as f32 has them.
float power_into_f16(uint largest) {
  if (largest == 0u) return 1.0;
  const uint exponent = max(largest >> 23, 29u) - 14u;  // of the power, as f32 has it
  return uintBitsToFloat(exponent << 23);
}

bool is_nan(float value) { return (floatBitsToUint(value) & 0x7fffffffu) > 0x7f800000u; }

/// The larger of two numbers; NaN is the largest.
float worst(float a, float b) { return a > b || is_nan(a) ? a : b; }
