#pragma once
// Checks of the KV cache that every backend makes before it touches memory, with the same messages.

#include <cstdint>
#include <span>

#include "backend/backend.h"
#include "core/result.h"

namespace secondsource {

/// Checks that every extent is positive, that a cache can have this element type, that slot numbers fit an int32 and
/// that the size in bytes fits an int64.
/// Errors: kInvalidInput.
Result<void> check_kv_spec(const KvSpec& spec, std::int64_t n_pages);

/// Checks that both pages of every copy are in [0, n_pages), and that no page is both read and written by one call.
/// Errors: kInvalidInput.
Result<void> check_page_copies(std::span<const PageCopy> copies, std::int64_t n_pages);

/// Checks that the range lies in the pool and that `out_floats` is n_slots * n_kv_heads * head_dim. Errors:
/// kInvalidInput.
Result<void> check_kv_range(const KvSpec& spec, std::int64_t n_pages, const KvRange& range, std::size_t out_floats);

/// Checks that the layers and heads of a graph (which passed check_graph) match the cache. Errors: kInvalidInput.
Result<void> check_graph_cache(const StepGraph& graph, const KvSpec& spec);

}  // namespace secondsource
