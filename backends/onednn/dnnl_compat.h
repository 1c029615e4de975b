#pragma once
// oneDNN 2.x (Debian 12) and 3.x behind one interface. Everything that differs between the two is in this file. Include it
// instead of dnnl.hpp, and only in this folder.

#include <fmt/format.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <string>

#include "core/result.h"

namespace secondsource::onednn {

/// "2.6.3"
[[nodiscard]] inline std::string dnnl_version_text() {
  const dnnl_version_t* const version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

/// src [M, K] x weights [K, N] -> dst [M, N]. 2.x needs an operation descriptor, which 3.x does not have.
[[nodiscard]] inline dnnl::matmul::primitive_desc make_matmul_desc(const dnnl::engine& engine,
                                                                   const dnnl::memory::desc& src,
                                                                   const dnnl::memory::desc& weights,
                                                                   const dnnl::memory::desc& dst,
                                                                   const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, src, weights, dst, attributes};
#else
  return {dnnl::matmul::desc(src, weights, dst), attributes, engine};
#endif
}

/// The extents of a matrix.
[[nodiscard]] inline dnnl::memory::dims dims_of(const dnnl::memory::desc& layout) {
#if DNNL_VERSION_MAJOR >= 3
  return layout.get_dims();
#else
  return layout.dims();
#endif
}

/// A blocked layout: blocks by their strides, and inside each block smaller blocks, outermost first. All in elements.
struct Blocking {
  dnnl::memory::dim first = 0;          ///< index of element 0
  dnnl::memory::dims strides;           ///< of the blocks, one per dimension
  dnnl::memory::dims inner_sizes;       ///< extents of the inner blocks
  dnnl::memory::dims inner_dimensions;  ///< the dimension that each of them divides
};

/// nullopt for a layout that oneDNN does not disclose.
[[nodiscard]] inline std::optional<Blocking> blocking_of(const dnnl::memory::desc& layout) {
#if DNNL_VERSION_MAJOR >= 3
  if (layout.get_format_kind() != dnnl::memory::format_kind::blocked) return std::nullopt;
  return Blocking{.first = layout.get_submemory_offset(),
                  .strides = layout.get_strides(),
                  .inner_sizes = layout.get_inner_blks(),
                  .inner_dimensions = layout.get_inner_idxs()};
#else
  if (layout.data.format_kind != dnnl_blocked) return std::nullopt;
  const dnnl_blocking_desc_t& blocks = layout.data.format_desc.blocking;
  return Blocking{.first = layout.data.offset0,
                  .strides = {blocks.strides, blocks.strides + layout.data.ndims},
                  .inner_sizes = {blocks.inner_blks, blocks.inner_blks + blocks.inner_nblks},
                  .inner_dimensions = {blocks.inner_idxs, blocks.inner_idxs + blocks.inner_nblks}};
#endif
}

/// 2.x takes a scale before the algorithm, here 1.
inline void append_eltwise(dnnl::post_ops& post_ops, dnnl::algorithm algorithm, float alpha, float beta) {
#if DNNL_VERSION_MAJOR >= 3
  post_ops.append_eltwise(algorithm, alpha, beta);
#else
  post_ops.append_eltwise(1.0F, algorithm, alpha, beta);
#endif
}

/// x -> c * tanh(x / c). 2.6.3 applies the factor of the first eltwise_linear of a chain to the second one too, so with 2.x
/// c is the scale of tanh, an argument that 3.x does not have.
inline void append_soft_cap(dnnl::post_ops& post_ops, float c) {
  append_eltwise(post_ops, dnnl::algorithm::eltwise_linear, 1.0F / c, 0.0F);
#if DNNL_VERSION_MAJOR >= 3
  append_eltwise(post_ops, dnnl::algorithm::eltwise_tanh, 0.0F, 0.0F);
  append_eltwise(post_ops, dnnl::algorithm::eltwise_linear, c, 0.0F);
#else
  post_ops.append_eltwise(c, dnnl::algorithm::eltwise_tanh, 0.0F, 0.0F);
#endif
}

/// Whether oneDNN uses BF16 instructions of this CPU (AVX-512 BF16 or AMX). Without them its BF16 is slower than f32.
[[nodiscard]] inline bool has_fast_bf16() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::avx512_core_bf16:
    case dnnl::cpu_isa::avx512_core_amx:
#if DNNL_VERSION_MAJOR >= 3
    case dnnl::cpu_isa::avx512_core_fp16:
    case dnnl::cpu_isa::avx512_core_amx_fp16:
#endif
      return true;
    default:
      return false;
  }
}

/// Whether int8 products run in tiles of AMX whose last columns are loaded wrongly: with K no multiple of 4, oneDNN 2.6.3 ended
/// with an illegal instruction (M 130, K 126 and 127, N 7, on a Xeon with AMX; none of 1272 products of other shapes did).
[[nodiscard]] inline bool has_unsafe_int8_tails() {
#if DNNL_VERSION_MAJOR >= 3
  return false;
#else
  return dnnl::get_effective_cpu_isa() == dnnl::cpu_isa::avx512_core_amx;
#endif
}

/// Lets a product of BF16 rows take int8 weights, which oneDNN widens to BF16 inside its kernel ("weights decompression").
/// Returns false, and changes nothing, for a oneDNN older than 3.7, the oldest one that this was tried with.
inline bool allow_int8_weights(dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR > 3 || (DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR >= 7)
  constexpr bool kAppliesToIntegers = true;
  attributes.set_fpmath_mode(dnnl::fpmath_mode::bf16, kAppliesToIntegers);
  return true;
#else
  (void)attributes;
  return false;
#endif
}

/// Runs `call` and turns exceptions of oneDNN and std::bad_alloc into an Error.
template <typename Call>
[[nodiscard]] auto guarded(const char* what, const Call& call) -> decltype(call()) {
  try {
    return call();
  } catch (const dnnl::error& error) {
    const bool memory = error.status == dnnl_out_of_memory;
    const bool missing = error.status == dnnl_unimplemented;
    return Error{memory    ? ErrorCode::kOutOfMemory
                 : missing ? ErrorCode::kUnsupported
                           : ErrorCode::kInternal,
                 fmt::format("oneDNN: {}: {}", what, error.what())};
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOutOfMemory, fmt::format("oneDNN: {}: no memory", what)};
  }
}

}  // namespace secondsource::onednn
