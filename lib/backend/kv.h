#pragma once
// What every backend checks about its cache before it touches a byte, said in the same words.

#include <cstdint>
#include <span>

#include "backend/backend.h"
#include "core/result.h"

namespace secondsource {

/// Every extent is positive, the type is one a cache can have, slots fit an int32 and bytes an int64.
/// Errors: kInvalidInput.
Result<void> check_kv_spec(const KvSpec& spec, std::int64_t n_pages);

/// Both pages of every copy are in [0, n_pages), and no page is both read and written by one call.
/// Errors: kInvalidInput.
Result<void> check_page_copies(std::span<const PageCopy> copies, std::int64_t n_pages);

/// The range lies in the pool, and `out_floats` is n_slots * n_kv_heads * head_dim. Errors: kInvalidInput.
Result<void> check_kv_range(const KvSpec& spec, std::int64_t n_pages, const KvRange& range, std::size_t out_floats);

/// The layers and heads of a graph (which passed check_graph) are those of the cache. Errors: kInvalidInput.
Result<void> check_graph_cache(const StepGraph& graph, const KvSpec& spec);

}  // namespace secondsource
