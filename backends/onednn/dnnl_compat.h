#pragma once
// oneDNN 2.x (Debian 12) and 3.x behind one interface. Everything that differs between the two is in this file; include
// it, never dnnl.hpp, and only from a .cpp or a header of this folder.

#include <fmt/format.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "core/result.h"

namespace secondsource::onednn {

/// "2.6.3"
[[nodiscard]] inline std::string dnnl_version_text() {
  const dnnl_version_t* const version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

/// src [M, K] x weights [K, N] (+ bias [1, N]) -> dst [M, N]. A zero bias descriptor means none. 2.x goes through an
/// operation descriptor, 3.x does not have one any more.
[[nodiscard]] inline dnnl::matmul::primitive_desc make_matmul_desc(
    const dnnl::engine& engine, const dnnl::memory::desc& src, const dnnl::memory::desc& weights,
    const dnnl::memory::desc& bias, const dnnl::memory::desc& dst, const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  if (bias.is_zero()) return {engine, src, weights, dst, attributes};
  return {engine, src, weights, bias, dst, attributes};
#else
  return {dnnl::matmul::desc(src, weights, bias, dst), attributes, engine};
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

/// 2.x has a scale before the algorithm, which is always 1 here.
inline void append_eltwise(dnnl::post_ops& post_ops, dnnl::algorithm algorithm, float alpha, float beta) {
#if DNNL_VERSION_MAJOR >= 3
  post_ops.append_eltwise(algorithm, alpha, beta);
#else
  post_ops.append_eltwise(1.0F, algorithm, alpha, beta);
#endif
}

/// Does oneDNN use the BF16 instructions of this CPU (AVX-512 BF16 or AMX)? Without them its BF16 is slower than f32.
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

/// Runs `call`, which may throw what oneDNN throws.
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
