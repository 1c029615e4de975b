#include "backend/check_kv.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <unordered_set>

#include "backend/op_access.h"
#include "core/checked.h"
#include "core/shape.h"

namespace secondsource {
namespace {

Error invalid_cache(std::string message) {
  return Error{ErrorCode::kInvalidInput, "KV cache: " + std::move(message)};
}

}  // namespace

std::int64_t kv_row_bytes(DType dtype, std::int32_t head_dim) {
  const std::int64_t scale_bytes = dtype == DType::kI8 ? sizeof(float) : 0;
  return head_dim * static_cast<std::int64_t>(size_of(dtype)) + scale_bytes;
}

std::int64_t kv_page_bytes(const KvSpec& spec) {
  const std::int64_t n_arrays = spec.latent_dim > 0 ? 1 : 2;
  return n_arrays * spec.n_layers * spec.page_tokens * spec.n_kv_heads * kv_row_bytes(spec.dtype, spec.head_dim);
}

Result<void> check_kv_spec(const KvSpec& spec, std::int64_t n_pages) {
  if (std::min({spec.n_layers, spec.n_kv_heads, spec.head_dim, spec.page_tokens}) <= 0 || n_pages <= 0) {
    return invalid_cache(
        fmt::format("expected positive extents, found {} layers, {} KV heads of {}, {} pages of {} tokens",
                    spec.n_layers, spec.n_kv_heads, spec.head_dim, n_pages, spec.page_tokens));
  }
  if (spec.latent_dim < 0 || spec.latent_dim > spec.head_dim || (spec.latent_dim > 0 && spec.n_kv_heads != 1)) {
    return invalid_cache(fmt::format("expected one KV head with a latent of at most {}, found {} with {}",
                                     spec.head_dim, spec.n_kv_heads, spec.latent_dim));
  }
  if (spec.dtype != DType::kF32 && spec.dtype != DType::kF16 && spec.dtype != DType::kBf16 &&
      spec.dtype != DType::kI8) {
    return invalid_cache(fmt::format("expected f32, f16, bf16 or i8, found {}", to_string(spec.dtype)));
  }
  const Shape shape{
      2, n_pages, spec.n_layers, spec.page_tokens, spec.n_kv_heads, kv_row_bytes(spec.dtype, spec.head_dim)};
  const auto n_slots = checked_multiply<std::int64_t>(n_pages, spec.page_tokens);
  if (!shape.n_elements() || !n_slots || *n_slots > std::numeric_limits<std::int32_t>::max()) {
    return invalid_cache(
        fmt::format("expected at most 2^31 slots, found {} pages of {} tokens", n_pages, spec.page_tokens));
  }
  return {};
}

Result<void> check_page_copies(std::span<const PageCopy> copies, std::int64_t n_pages) {
  std::unordered_set<std::int32_t> written;
  for (const PageCopy& copy : copies) {
    for (const std::int32_t page : {copy.from_page, copy.to_page}) {
      if (page < 0 || page >= n_pages) {
        return invalid_cache(fmt::format("page copy: expected a page in [0, {}), found {}", n_pages, page));
      }
    }
    if (!written.insert(copy.to_page).second) {
      return invalid_cache(fmt::format("page copy: page {} is written twice", copy.to_page));
    }
  }
  for (const PageCopy& copy : copies) {
    if (written.contains(copy.from_page)) {
      return invalid_cache(fmt::format("page copy: page {} is read and written by one call", copy.from_page));
    }
  }
  return {};
}

Result<void> check_kv_range(const KvSpec& spec, std::int64_t n_pages, const KvRange& range, std::size_t out_floats) {
  const std::int64_t n_slots = n_pages * spec.page_tokens;
  if (range.layer < 0 || range.layer >= spec.n_layers) {
    return invalid_cache(fmt::format("export: expected a layer in [0, {}), found {}", spec.n_layers, range.layer));
  }
  if (range.first_slot < 0 || range.n_slots < 0 || std::int64_t{range.first_slot} + range.n_slots > n_slots) {
    return invalid_cache(fmt::format("export: expected slots within [0, {}), found {} from {}", n_slots, range.n_slots,
                                     range.first_slot));
  }
  if (range.values && spec.latent_dim > 0) return invalid_cache("export: a cache of latents has no values of its own");
  const std::int64_t expected = std::int64_t{range.n_slots} * spec.n_kv_heads * spec.head_dim;
  if (static_cast<std::int64_t>(out_floats) != expected) {
    return invalid_cache(fmt::format("export: expected room for {} floats, found {}", expected, out_floats));
  }
  return {};
}

Result<void> check_graph_cache(const StepGraph& graph, const KvSpec& spec) {
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const auto fits = [&](std::int32_t layer, const HeadShape& heads) -> Result<void> {
      if (layer < spec.n_layers && heads.n_kv_heads == spec.n_kv_heads && heads.head_dim == spec.head_dim &&
          heads.latent_dim == spec.latent_dim) {
        return {};
      }
      if (heads.latent_dim != spec.latent_dim) {
        return invalid_cache(fmt::format("{}: needs latents of {}, found {} (0: keys and values)", op_label(graph, i),
                                         heads.latent_dim, spec.latent_dim));
      }
      return invalid_cache(fmt::format("{}: needs layer {} with {} heads of {}, found {} layers with {} of {}",
                                       op_label(graph, i), layer, heads.n_kv_heads, heads.head_dim, spec.n_layers,
                                       spec.n_kv_heads, spec.head_dim));
    };
    if (const auto* const append = std::get_if<RopeAppend>(&graph.ops[i])) {
      SS_TRY_VOID(fits(append->layer, append->heads));
    }
    if (const auto* const append = std::get_if<LatentAppend>(&graph.ops[i])) {
      SS_TRY_VOID(fits(append->layer, append->heads));
    }
    if (const auto* const attend = std::get_if<Attention>(&graph.ops[i])) {
      SS_TRY_VOID(fits(attend->layer, attend->heads));
    }
  }
  return {};
}

}  // namespace secondsource
