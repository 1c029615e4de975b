#pragma once
// Makes cases: random weights in every encoding, graphs whose inputs come from embedding tables (the boundary has no
// other way in, and needs none), batches over fragmented pages.

#include <span>
#include <string>
#include <vector>

#include "conformance/case.h"
#include "core/random.h"

namespace secondsource::conformance {

/// Random choices of one case.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : stream_(seed) {}
  /// In [low, high].
  std::int32_t between(std::int32_t low, std::int32_t high) {
    return low + static_cast<std::int32_t>(stream_.next_below(static_cast<std::uint64_t>(high - low + 1)));
  }
  template <typename T>
  T one_of(std::initializer_list<T> choices) {
    return choices.begin()[stream_.next_below(choices.size())];
  }
  bool chance(double probability) { return stream_.next_unit() < probability; }
  /// Normal with mean 0 and deviation 1, from twelve uniform draws: bounded tails, no library that differs.
  float normal();
  std::vector<float> normals(std::size_t n, float deviation = 1.0F, float mean = 0.0F);

 private:
  RandomStream stream_;
};

/// Encodes [n_rows, n_cols] values by the rules of docs/bundle-format.md and splits the rows into `part_rows`.
[[nodiscard]] CaseWeight make_weight(std::string name, std::span<const float> values, std::int64_t n_rows,
                                     std::int64_t n_cols, WeightEncoding encoding,
                                     std::vector<std::int64_t> part_rows = {}, Join join = Join::kNone,
                                     std::int64_t n_experts = 1);

/// Builds the graphs of one case and collects its weights.
class CaseBuilder {
 public:
  CaseBuilder(std::string family, std::uint64_t seed) : dice(seed) {
    result.family = std::move(family);
    result.seed = seed;
  }

  /// Starts another graph; the first exists already.
  std::int32_t new_graph();
  ValueId value(std::int32_t cols, Rows rows = Rows::kTokens, DType dtype = DType::kF32);
  void add(const Op& op, std::string label = "");
  WeightId weight(CaseWeight weight);
  /// A random matrix of deviation 1 / sqrt(n_cols).
  WeightId matrix(std::int64_t n_rows, std::int64_t n_cols, WeightEncoding encoding,
                  std::vector<std::int64_t> part_rows = {}, Join join = Join::kNone, std::int64_t n_experts = 1);
  /// A vector [1, n] of f32 around `mean`.
  WeightId vector(std::int64_t n, float mean, float deviation);
  /// A value with random content: an f32 table of `n_ids` rows and its embedding.
  ValueId input(std::int32_t cols, std::int32_t n_ids, float deviation = 1.0F);
  /// Frequencies of RoPE with base 10000, as Hugging Face computes them.
  RopeId rope(std::int32_t head_dim, float attention_factor = 1.0F);
  /// No value of the graph is observed but the last written and those that `keep` lists.
  void observe_only(std::span<const ValueId> keep);
  StepGraph& graph() { return result.graphs.back(); }
  /// The action that submits `batch` to the current graph.
  Action& submit(BatchData batch);

  Dice dice;
  /// Inputs and matrices from here on are numbers that BF16 has, quantized ones too. A backend then has nothing to
  /// round in a product, and every draw of the envelope is the reference itself.
  bool is_exact_in_bf16 = false;
  Case result = [] {
    Case c;
    c.graphs.emplace_back();
    return c;
  }();
};

/// Sequences over a cache whose pages were handed out in random order.
class Sequences {
 public:
  /// Pages [0, n_pages) of the pool may be used; the first `n_reserved` after shuffling never are, and must stay
  /// untouched.
  Sequences(Dice& dice, std::int64_t n_pages, std::int32_t page_tokens, std::int64_t n_reserved);
  /// A new sequence; returns its number, which is its device slot too.
  std::int32_t add();
  /// Makes room for `n_tokens` more and gives their batch rows. Token ids are random below n_ids.
  void append(BatchData& batch, std::int32_t sequence, std::int32_t n_tokens, std::int32_t n_ids);
  /// Fills in tables of equal width and adds `n_padding` rows; call once per batch, at the end.
  void finish(BatchData& batch, std::int32_t n_padding);
  /// Wants logits of the token `row` of the batch.
  static void want_logits(BatchData& batch, std::int32_t row, SamplingParams params = {});
  [[nodiscard]] std::int32_t length(std::int32_t sequence) const {
    return lengths_[static_cast<std::size_t>(sequence)];
  }
  [[nodiscard]] const std::vector<std::int32_t>& pages(std::int32_t sequence) const {
    return pages_[static_cast<std::size_t>(sequence)];
  }
  /// A page that no sequence has.
  std::int32_t take_page();
  /// Gives a sequence pages that were filled by a copy.
  std::int32_t add_copied(std::vector<std::int32_t> pages, std::int32_t length);

 private:
  Dice& dice_;
  std::int32_t page_tokens_;
  std::vector<std::int32_t> free_pages_;
  std::vector<std::vector<std::int32_t>> pages_;
  std::vector<std::int32_t> lengths_;
  std::vector<std::int32_t> in_batch_;  ///< sequences of the batch being made
};

/// A batch for graphs without attention: one sequence of n_tokens, then padding. Sets up a cache that fits it.
[[nodiscard]] BatchData plain_batch(CaseBuilder& builder, std::int32_t n_tokens, std::int32_t n_ids,
                                    std::int32_t n_padding = 0);

/// Actions that write large numbers, or NaN, into every slot of every layer, so that reading a slot that is not the
/// sequence's own cannot go unnoticed. Takes the builder's current, empty graph and starts another one.
void dirty_cache(CaseBuilder& builder, const HeadShape& heads);

}  // namespace secondsource::conformance
