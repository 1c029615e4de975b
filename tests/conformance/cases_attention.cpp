#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "conformance/build.h"
#include "conformance/cases.h"
#include "core/checked.h"

namespace secondsource::conformance {
namespace {

constexpr std::int32_t kIds = 61;

HeadShape pick_heads(Dice& dice) {
  const std::int32_t n_kv_heads = dice.between(1, 3);
  return {.n_heads = n_kv_heads * dice.between(1, 8),
          .n_kv_heads = n_kv_heads,
          .head_dim = dice.one_of<std::int32_t>({32, 64, 80, 128})};
}

/// Heads of multi-head latent attention: a latent part and a rotated part, in DeepSeek's proportions and others.
HeadShape pick_latents(Dice& dice) {
  const std::int32_t latent_dim = dice.one_of<std::int32_t>({16, 22, 64, 96, 128, 512});
  const std::int32_t n_rotated = dice.one_of<std::int32_t>({2, 8, 32, 64});
  // Many heads only if the latent is small, because large ones take most of the time.
  const std::int32_t n_heads = latent_dim == 512  ? dice.between(1, 2)
                               : latent_dim <= 22 ? dice.one_of<std::int32_t>({1, 16, 17, 60})
                                                  : dice.one_of<std::int32_t>({1, 3, 10});
  return {.n_heads = n_heads, .n_kv_heads = 1, .head_dim = latent_dim + n_rotated, .latent_dim = latent_dim};
}

std::string describe_heads(const HeadShape& heads) {
  const std::string latents = heads.latent_dim > 0 ? fmt::format(" latent={}", heads.latent_dim) : "";
  return fmt::format("heads={}/{}x{}{}", heads.n_heads, heads.n_kv_heads, heads.head_dim, latents);
}

KvSpec cache_of(const HeadShape& heads, std::int32_t n_layers, std::int32_t page_tokens) {
  return {.n_layers = n_layers,
          .n_kv_heads = heads.n_kv_heads,
          .head_dim = heads.head_dim,
          .latent_dim = heads.latent_dim,
          .page_tokens = page_tokens};
}

/// How often a layer has a sliding window, and the possible window sizes.
struct Windows {
  double chance;
  std::initializer_list<std::int32_t> sizes;
};
constexpr auto kNarrowSizes = {1, 3, 16, 33, 200};
constexpr auto kWideSizes = {150, 1000, 4000};
constexpr Windows kNarrowWindows{.chance = 0.35, .sizes = kNarrowSizes};
constexpr Windows kWideWindows{.chance = 0.5, .sizes = kWideSizes};
constexpr Windows kNoWindows{.chance = 0.0, .sizes = {}};

/// One layer of RopeAppend and Attention over a random qkv. The scores have a deviation of about 1.5, which gives a
/// softmax that is neither flat nor a single spike.
struct Layer {
  bool has_norms = false;
  Attention attend;
};

std::string_view describe(Apart apart) {
  return apart == Apart::kNothing ? "" : apart == Apart::kValues ? " v" : " k v";
}

/// Optional features of a layer.
struct LayerForm {
  bool has_sinks = false;
  Apart apart = Apart::kNothing;
};

/// The inputs of RopeAppend: random q, k and v.
struct Projections {
  ValueId qkv;
  std::optional<ValueId> k = {};
  std::optional<ValueId> v = {};
};

Projections add_projections(CaseBuilder& b, const HeadShape& heads, Apart apart, float deviation) {
  const std::int32_t n_joined_kv = apart == Apart::kNothing ? 2 : apart == Apart::kValues ? 1 : 0;
  Projections projections{b.input((heads.n_heads + n_joined_kv * heads.n_kv_heads) * heads.head_dim, kIds, deviation)};
  const std::int32_t kv_dim = heads.n_kv_heads * heads.head_dim;
  if (apart == Apart::kKeysAndValues) projections.k = b.input(kv_dim, kIds, deviation);
  if (apart != Apart::kNothing) projections.v = b.input(kv_dim, kIds, deviation);
  return projections;
}

/// Separate values, or separate keys and values.
Apart pick_apart(Dice& dice) {
  return dice.one_of({Apart::kValues, Apart::kKeysAndValues});
}

/// Random growth of queries with the position. Most periods are short, so that even a few tokens have different factors.
QueryGrowth pick_growth(Dice& dice) {
  return {.beta = dice.one_of({0.1F, 0.3F, 1.0F}), .period = dice.one_of<std::int32_t>({1, 3, 16, 4096})};
}

/// Adds a LatentAppend of random latents and queries. Returns the resulting queries.
ValueId add_latents(CaseBuilder& b, const HeadShape& heads, std::int32_t layer, const QueryGrowth& growth = {}) {
  const ValueId latent = b.input(heads.head_dim, kIds, 1.2F);
  const ValueId q = b.input(heads.n_heads * heads.head_dim, kIds, 1.2F);
  const bool in_place = b.dice.chance(0.5);  // the contract allows q and q_out to be the same value
  const RopeId rope = b.rope(heads.head_dim - heads.latent_dim, b.dice.one_of({1.0F, 1.0F, 1.2F}));
  b.graph().ropes.back().query_growth = growth;
  const LatentAppend append{.latent = latent,
                            .q = q,
                            .q_out = in_place ? q : b.value(heads.n_heads * heads.head_dim),
                            .layer = layer,
                            .heads = heads,
                            .rope = rope,
                            .norm = b.vector(heads.latent_dim, 1.0F, 0.5F)};
  b.add(append, "append");
  return append.q_out;
}

/// Adds one layer of attention over latents.
Attention add_latent_layer(CaseBuilder& b, const HeadShape& heads, std::int32_t layer, const Windows& windows) {
  const ValueId q = add_latents(b, heads, layer);
  Attention attend{.q = q, .out = b.value(heads.n_heads * heads.latent_dim), .layer = layer, .heads = heads};
  attend.scale = 1.0F / std::sqrt(static_cast<float>(heads.head_dim));
  if (b.dice.chance(0.25)) attend.softcap = 2.0F;
  if (b.dice.chance(windows.chance)) attend.window = b.dice.one_of(windows.sizes);
  b.add(attend, "attention");
  return attend;
}

Layer add_layer(CaseBuilder& b, const HeadShape& heads, std::int32_t layer, const Windows& windows = kNarrowWindows,
                const LayerForm& form = {}) {
  b.result.cache_is_rounded_once = true;
  if (heads.latent_dim > 0) return {.attend = add_latent_layer(b, heads, layer, windows)};
  const auto [qkv, k, v] = add_projections(b, heads, form.apart, 1.2F);
  const RopeId rope = b.rope(heads.head_dim, b.dice.one_of({1.0F, 1.0F, 1.2F}));
  const ValueId q = b.value(heads.n_heads * heads.head_dim);
  RopeAppend append{.qkv = qkv, .k = k, .v = v, .q_out = q, .layer = layer, .heads = heads, .rope = rope};
  if (b.dice.chance(0.4)) {
    append.q_norm = b.vector(heads.head_dim, 1.0F, 0.3F);
    append.k_norm = b.vector(heads.head_dim, 1.0F, 0.3F);
  }
  b.add(append, "rope");
  const bool in_place = b.dice.chance(0.5);  // the contract allows q and out to be the same value
  Attention attend{
      .q = q, .out = in_place ? q : b.value(heads.n_heads * heads.head_dim), .layer = layer, .heads = heads};
  attend.scale = 1.0F / std::sqrt(static_cast<float>(heads.head_dim));
  if (b.dice.chance(0.25)) attend.softcap = 2.0F;
  if (b.dice.chance(windows.chance)) attend.window = b.dice.one_of(windows.sizes);
  // Some sinks are negligible beside the scores, others take nearly all of the softmax.
  if (form.has_sinks) attend.sinks = b.vector(heads.n_heads, 1.0F, 4.0F);
  b.add(attend, "attention");
  return {append.q_norm.has_value(), attend};
}

/// Sequences of different lengths, then steps that mix prefill chunks with single decode tokens.
Case ragged_case(CaseBuilder b, const HeadShape& heads, const LayerForm& form = {}) {
  const std::int32_t page_tokens = b.dice.one_of<std::int32_t>({4, 16, 16, 32});
  b.result.kv = cache_of(heads, 2, page_tokens);
  b.result.n_pages = 1200 / page_tokens;
  const bool dirty = b.dice.chance(0.7);
  if (dirty) dirty_cache(b, heads);
  const Layer layer = add_layer(b, heads, b.dice.between(0, 1), kNarrowWindows, form);

  Sequences sequences(b.dice, b.result.n_pages, page_tokens, 3);
  const std::int32_t n_sequences = b.dice.between(1, 5);
  for (std::int32_t s = 0; s < n_sequences; ++s) sequences.add();
  const std::int32_t n_steps = b.dice.between(2, 4);
  for (std::int32_t step = 0; step < n_steps; ++step) {
    BatchStorage batch;
    for (std::int32_t s = 0; s < n_sequences; ++s) {
      if (step > 0 && n_sequences > 1 && b.dice.chance(0.2)) continue;
      const bool decode = sequences.length(s) > 0 && b.dice.chance(0.6);
      sequences.append(batch, s, decode ? 1 : b.dice.between(1, 50), kIds);
    }
    if (batch.kv_lengths.empty()) sequences.append(batch, 0, 1, kIds);
    sequences.finish(batch, b.dice.chance(0.3) ? b.dice.between(1, 4) : 0);
    b.submit(std::move(batch));
  }
  b.result.name =
      fmt::format("{} page={} sequences={} steps={}{}{}{}{}{}", describe_heads(heads), page_tokens, n_sequences,
                  n_steps, layer.attend.window > 0 ? fmt::format(" window={}", layer.attend.window) : "",
                  layer.attend.softcap > 0.0F ? " softcap" : "", layer.has_norms ? " norm" : "", dirty ? " dirty" : "",
                  describe(form.apart));
  return std::move(b.result);
}

/// Fills the builder's current, empty graph with an append to the cache of layer 0, without attention, and starts another
/// graph. Returns the number of the filled graph.
std::int32_t add_fill_graph(CaseBuilder& b, const HeadShape& heads) {
  if (heads.latent_dim > 0) {
    add_latents(b, heads, 0);
    b.observe_only({});
    return b.new_graph() - 1;
  }
  const ValueId qkv = b.input((heads.n_heads + 2 * heads.n_kv_heads) * heads.head_dim, kIds, 1.2F);
  const ValueId q = b.value(heads.n_heads * heads.head_dim);
  b.add(RopeAppend{.qkv = qkv,
                   .q_out = q,
                   .layer = 0,
                   .heads = heads,
                   .rope = b.rope(heads.head_dim),
                   .q_norm = {},
                   .k_norm = {}},
        "fill");
  b.observe_only({});
  return b.new_graph() - 1;
}

/// Fills a sequence's cache to `length` without attention. Then follows one step for each element of `chunks`, with that
/// many tokens of this sequence and a few tokens of another one.
Case long_case(CaseBuilder b, const HeadShape& heads, std::int32_t length, std::initializer_list<std::int32_t> chunks,
               const Windows& windows = kNarrowWindows, const LayerForm& form = {}) {
  constexpr std::int32_t kPageTokens = 16;
  b.result.kv = cache_of(heads, 1, kPageTokens);
  b.result.n_pages = ceil_divide(length + 200, kPageTokens) + 4;
  dirty_cache(b, heads);
  const std::int32_t fill_graph = add_fill_graph(b, heads);
  Sequences sequences(b.dice, b.result.n_pages, kPageTokens, 2);
  const std::int32_t sequence = sequences.add();
  while (sequences.length(sequence) < length) {
    BatchStorage batch;
    sequences.append(batch, sequence, std::min(512, length - sequences.length(sequence)), kIds);
    sequences.finish(batch, 0);
    Action& action = b.submit(std::move(batch));
    action.graph = fill_graph;
    action.compare = false;
  }
  const Layer layer = add_layer(b, heads, 0, windows, form);
  const std::int32_t other = sequences.add();
  for (const std::int32_t n_tokens : chunks) {
    BatchStorage batch;
    sequences.append(batch, other, 3, kIds);
    sequences.append(batch, sequence, n_tokens, kIds);
    sequences.finish(batch, 0);
    b.submit(std::move(batch));
  }
  b.result.name = fmt::format("{} length={}{}", describe_heads(heads), length,
                              layer.attend.window > 0 ? fmt::format(" window={}", layer.attend.window) : "");
  return std::move(b.result);
}

}  // namespace

namespace {

/// Optional features of RopeAppend.
struct RopeForm {
  /// Some or all pairs at the end of a head have the frequency 0, as in models that rotate only a part of a head.
  bool leaves_pairs = false;
  HeadNorm head_norm = HeadNorm::kRmsOfHead;
  /// Queries are larger at later positions.
  bool grows = false;
  Apart apart = Apart::kNothing;
};

Case rope_append_case(CaseBuilder b, const RopeForm& form) {
  b.result.cache_is_rounded_once = true;
  const HeadShape heads = pick_heads(b.dice);
  const std::int32_t page_tokens = b.dice.one_of<std::int32_t>({1, 8, 16, 32});
  b.result.kv = {.n_layers = 2, .n_kv_heads = heads.n_kv_heads, .head_dim = heads.head_dim, .page_tokens = page_tokens};
  const std::int32_t n_tokens = b.dice.between(1, 40);
  b.result.n_pages = ceil_divide(n_tokens, page_tokens) + 3;
  const auto [qkv, k, v] = add_projections(b, heads, form.apart, 1.0F);
  RopeAppend op{.qkv = qkv,
                .k = k,
                .v = v,
                .q_out = b.value(heads.n_heads * heads.head_dim),
                .layer = b.dice.between(0, 1),
                .heads = heads,
                .rope = b.rope(heads.head_dim, b.dice.one_of({1.0F, 1.3F})),
                .q_norm = {},
                .k_norm = {},
                .head_norm = form.head_norm,
                .norm_eps = b.dice.one_of({1e-6F, 0.1F})};
  if (form.leaves_pairs) {
    std::vector<float>& inv_freq = b.graph().ropes.back().inv_freq;
    const std::int32_t n_rotated = b.dice.between(0, heads.head_dim / 2 - 1);
    std::fill(inv_freq.begin() + n_rotated, inv_freq.end(), 0.0F);
  }
  if (form.grows) b.graph().ropes.back().query_growth = pick_growth(b.dice);
  const double share = form.head_norm == HeadNorm::kRmsOfHead ? 0.5 : 0.8;
  const auto norm_weights = [&](std::int32_t n_heads) {
    return b.vector(n_head_norm_weights(form.head_norm, n_heads, heads.head_dim), 1.0F, 0.5F);
  };
  if (b.dice.chance(share)) op.q_norm = norm_weights(heads.n_heads);
  if (b.dice.chance(share)) op.k_norm = norm_weights(heads.n_kv_heads);
  b.add(op, "rope");
  Sequences sequences(b.dice, b.result.n_pages, page_tokens, 2);
  BatchStorage batch;
  sequences.append(batch, sequences.add(), n_tokens, kIds);
  const std::int32_t n_padding = b.dice.between(0, 3);
  sequences.finish(batch, n_padding);
  // Without attention, positions do not depend on the cache's length, so they may be large.
  // With growth, at least one position is beyond the first period, for every possible period.
  const std::int32_t offset = form.grows ? b.dice.one_of<std::int32_t>({4090, 8192 - n_tokens, 30000})
                                         : b.dice.one_of<std::int32_t>({0, 1000, 30000});
  for (std::int32_t t = 0; t < n_tokens; ++t) batch.positions[static_cast<std::size_t>(t)] += offset;
  b.submit(std::move(batch));
  b.result.name =
      fmt::format("{} page={} m={}+{} position={}{}{}{}", describe_heads(heads), page_tokens, n_tokens, n_padding,
                  offset, op.q_norm ? " q_norm" : "", op.k_norm ? " k_norm" : "", describe(form.apart));
  return std::move(b.result);
}

}  // namespace

Case make_rope_append_case(std::uint64_t seed) {
  return rope_append_case(CaseBuilder("rope_append", seed), {});
}

Case make_partial_rope_case(std::uint64_t seed) {
  return rope_append_case(CaseBuilder("rope_partial", seed), {.leaves_pairs = true});
}

Case make_all_heads_norm_case(std::uint64_t seed) {
  return rope_append_case(CaseBuilder("rope_norm_all_heads", seed), {.head_norm = HeadNorm::kRmsOfAllHeads});
}

Case make_heads_layer_norm_case(std::uint64_t seed) {
  return rope_append_case(CaseBuilder("rope_layer_norm", seed), {.head_norm = HeadNorm::kLayerNormOfHead});
}

Case make_query_growth_case(std::uint64_t seed) {
  return rope_append_case(CaseBuilder("query_growth", seed), {.grows = true});
}

Case make_values_apart_case(std::uint64_t seed) {
  CaseBuilder b("rope_values_apart", seed);
  const HeadNorm head_norm = b.dice.chance(0.25) ? HeadNorm::kRmsOfAllHeads : HeadNorm::kRmsOfHead;
  const Apart apart = pick_apart(b.dice);
  return rope_append_case(std::move(b), {.head_norm = head_norm, .apart = apart});
}

Case make_attention_values_apart_case(std::uint64_t seed) {
  CaseBuilder b("attention_values_apart", seed);
  const HeadShape heads = pick_heads(b.dice);
  const Apart apart = pick_apart(b.dice);
  return ragged_case(std::move(b), heads, {.apart = apart});
}

Case make_attention_case(std::uint64_t seed) {
  CaseBuilder b("attention", seed);
  const HeadShape heads = pick_heads(b.dice);
  return ragged_case(std::move(b), heads);
}

Case make_wide_attention_case(std::uint64_t seed) {
  CaseBuilder b("attention_wide", seed);
  const std::int32_t n_kv_heads = b.dice.between(1, 2);
  const HeadShape heads{.n_heads = n_kv_heads * b.dice.between(1, 4),
                        .n_kv_heads = n_kv_heads,
                        .head_dim = b.dice.one_of({160, 192, 256})};
  return ragged_case(std::move(b), heads);
}

Case make_sinks_case(std::uint64_t seed) {
  CaseBuilder b("attention_sinks", seed);
  // Backends split long contexts along the cache. The sink must be added exactly once to the sum over all parts.
  const bool is_long = b.dice.chance(0.15);
  const HeadShape heads = pick_heads(b.dice);
  if (!is_long) return ragged_case(std::move(b), heads, {.has_sinks = true});
  const std::int32_t length = b.dice.between(1500, 2500);
  return long_case(std::move(b), {.n_heads = b.dice.between(2, 4), .n_kv_heads = 1, .head_dim = 64}, length, {1, 7},
                   kNarrowWindows, {.has_sinks = true});
}

Case make_long_attention_case(std::uint64_t seed) {
  CaseBuilder b("attention_long", seed);
  const HeadShape heads{.n_heads = b.dice.between(1, 4), .n_kv_heads = 1, .head_dim = b.dice.one_of({32, 64})};
  const std::int32_t length = b.dice.between(1500, 4500);
  return long_case(std::move(b), heads, length, {1, 7, 1});
}

Case make_chunked_attention_case(std::uint64_t seed) {
  CaseBuilder b("attention_chunks", seed);
  const HeadShape heads{.n_heads = b.dice.between(2, 4), .n_kv_heads = 1, .head_dim = b.dice.one_of({64, 128})};
  const std::int32_t length = b.dice.between(8200, 8600);
  return long_case(std::move(b), heads, length, {70, 1, 33}, kWideWindows);
}

Case make_deep_attention_case(std::uint64_t seed) {
  // Positions beyond 32K do not fit into 15 bits, and a kernel that splits the cache into a limited number of pieces gets
  // longer pieces.
  constexpr std::int32_t kPageTokens = 16;
  constexpr std::int32_t kFilledPages = 64;
  CaseBuilder b("attention_deep", seed);
  const HeadShape heads{.n_heads = b.dice.between(1, 4), .n_kv_heads = 1, .head_dim = b.dice.one_of({32, 64})};
  const std::int32_t length = b.dice.between(33'400, 33'900);
  const std::int32_t n_pages = ceil_divide(length + 1, kPageTokens);
  b.result.kv = {.n_layers = 1, .n_kv_heads = heads.n_kv_heads, .head_dim = heads.head_dim, .page_tokens = kPageTokens};
  b.result.n_pages = n_pages + kFilledPages;
  const std::int32_t fill_graph = add_fill_graph(b, heads);
  Sequences sequences(b.dice, b.result.n_pages, kPageTokens, 0);
  // Appending every position would take most of the time. Therefore one step fills some pages, and copies of them in
  // random order fill all others.
  const std::int32_t filled = sequences.add();
  BatchStorage batch;
  sequences.append(batch, filled, kFilledPages * kPageTokens, kIds);
  sequences.finish(batch, 0);
  Action& fill = b.submit(std::move(batch));
  fill.graph = fill_graph;
  fill.compare = false;
  Action copy{.batch = {}, .copies = {}};
  std::vector<std::int32_t> pages;
  for (std::int32_t i = 0; i < n_pages; ++i) {
    const auto from = static_cast<std::size_t>(b.dice.between(0, kFilledPages - 1));
    pages.push_back(sequences.take_page());
    copy.copies.push_back({.from_page = sequences.pages(filled)[from], .to_page = pages.back()});
  }
  b.result.actions.push_back(std::move(copy));
  const std::int32_t deep = sequences.add_copied(std::move(pages), length);
  const Layer layer = add_layer(b, heads, 0, kNoWindows);
  BatchStorage decode;
  sequences.append(decode, deep, 1, kIds);
  sequences.finish(decode, 0);
  b.submit(std::move(decode));
  b.result.name = fmt::format("{} length={}{}{}", describe_heads(heads), length,
                              layer.attend.softcap > 0.0F ? " softcap" : "", layer.has_norms ? " norm" : "");
  return std::move(b.result);
}

namespace {

Case latent_append_case(CaseBuilder b, bool grows) {
  b.result.cache_is_rounded_once = true;
  const HeadShape heads = pick_latents(b.dice);
  const std::int32_t page_tokens = b.dice.one_of<std::int32_t>({16, 32});
  b.result.kv = cache_of(heads, 2, page_tokens);
  const std::int32_t n_tokens = b.dice.between(1, 40);
  b.result.n_pages = ceil_divide(n_tokens, page_tokens) + 3;
  const std::int32_t layer = b.dice.between(0, 1);
  add_latents(b, heads, layer, grows ? pick_growth(b.dice) : QueryGrowth());
  Sequences sequences(b.dice, b.result.n_pages, page_tokens, 2);
  BatchStorage batch;
  sequences.append(batch, sequences.add(), n_tokens, kIds);
  const std::int32_t n_padding = b.dice.between(0, 3);
  sequences.finish(batch, n_padding);
  const std::int32_t offset =
      grows ? b.dice.one_of<std::int32_t>({4096, 30000}) : b.dice.one_of<std::int32_t>({0, 1000, 30000});
  for (std::int32_t t = 0; t < n_tokens; ++t) batch.positions[static_cast<std::size_t>(t)] += offset;
  b.submit(std::move(batch));
  b.result.name =
      fmt::format("{} page={} m={}+{} position={}", describe_heads(heads), page_tokens, n_tokens, n_padding, offset);
  return std::move(b.result);
}

}  // namespace

Case make_latent_append_case(std::uint64_t seed) {
  return latent_append_case(CaseBuilder("latent_append", seed), false);
}

Case make_latent_growth_case(std::uint64_t seed) {
  return latent_append_case(CaseBuilder("latent_growth", seed), true);
}

Case make_latent_attention_case(std::uint64_t seed) {
  CaseBuilder b("attention_latent", seed);
  const bool is_long = b.dice.chance(0.15);
  if (!is_long) {
    const HeadShape heads = pick_latents(b.dice);
    return ragged_case(std::move(b), heads);
  }
  // Backends split long contexts along the cache.
  const HeadShape heads{.n_heads = b.dice.between(1, 20), .n_kv_heads = 1, .head_dim = 40, .latent_dim = 32};
  const std::int32_t length = b.dice.between(1500, 2500);
  return long_case(std::move(b), heads, length, {1, 7});
}

Case make_wide_latent_attention_case(std::uint64_t seed) {
  CaseBuilder b("attention_latent_wide", seed);
  // DeepSeek's head dimensions, with as many heads as one block of the GPU kernels takes, or a few more.
  const HeadShape heads{
      .n_heads = b.dice.one_of<std::int32_t>({16, 17, 32, 40}), .n_kv_heads = 1, .head_dim = 576, .latent_dim = 512};
  const std::int32_t length = b.dice.between(60, 300);
  return long_case(std::move(b), heads, length, {1, 3, 1});
}

namespace {

Case page_copy_case(CaseBuilder b, const HeadShape& heads) {
  const std::int32_t page_tokens = b.dice.one_of<std::int32_t>({8, 16, 32});
  b.result.kv = cache_of(heads, 2, page_tokens);
  b.result.n_pages = 40;
  dirty_cache(b, heads);
  add_layer(b, heads, 0);
  add_layer(b, heads, 1);
  Sequences sequences(b.dice, b.result.n_pages, page_tokens, 2);
  const std::int32_t parent = sequences.add();
  BatchStorage prompt;
  sequences.append(prompt, parent, b.dice.between(2, 5 * page_tokens), kIds);
  sequences.finish(prompt, 0);
  // A fork: the child gets copies of the pages, then both sequences continue independently. The copy must take effect
  // after every step submitted before it, whether that is in flight or not.
  const bool in_flight = b.dice.chance(0.5);
  b.submit(std::move(prompt)).wait = !in_flight;
  Action copy{.batch = {}, .wait = !in_flight, .copies = {}};
  std::vector<std::int32_t> pages;
  for (const std::int32_t page : sequences.pages(parent)) {
    pages.push_back(sequences.take_page());
    copy.copies.push_back({.from_page = page, .to_page = pages.back()});
  }
  b.result.actions.push_back(copy);
  const std::int32_t child = sequences.add_copied(pages, sequences.length(parent));
  for (std::int32_t step = 0; step < 3; ++step) {
    BatchStorage batch;
    sequences.append(batch, parent, 1, kIds);
    sequences.append(batch, child, b.dice.between(1, 4), kIds);
    sequences.finish(batch, 0);
    b.submit(std::move(batch));
  }
  b.result.name = fmt::format("{} page={} pages={}{}", describe_heads(heads), page_tokens, pages.size(),
                              in_flight ? " in flight" : "");
  return std::move(b.result);
}

}  // namespace

Case make_page_copy_case(std::uint64_t seed) {
  CaseBuilder b("kv_copy_pages", seed);
  const HeadShape heads = pick_heads(b.dice);
  return page_copy_case(std::move(b), heads);
}

Case make_latent_copy_case(std::uint64_t seed) {
  CaseBuilder b("kv_copy_latents", seed);
  const HeadShape heads = pick_latents(b.dice);
  return page_copy_case(std::move(b), heads);
}

}  // namespace secondsource::conformance
